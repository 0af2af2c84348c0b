# Reads the tables beside this file with their types, and gives each comparison's share of votes with its
# clustered 95 % interval, as the results page has it (estimand: items like these).
#
#   Rscript analyse.R
#
# Needs base R only (run with R 4.2.2). Left out are people whom the protocol's rules exclude; ties count half.

arguments <- commandArgs(FALSE)
script <- sub("^--file=", "", arguments[grepl("^--file=", arguments)])
folder <- if (length(script)) dirname(script[1]) else "."

codebook <- read.csv(file.path(folder, "codebook.csv"), encoding = "UTF-8", colClasses = "character")

read_table <- function(name) {
  columns <- codebook[codebook$table == name, ]
  table <- read.csv(file.path(folder, paste0(name, ".csv")), encoding = "UTF-8", colClasses = "character",
                    check.names = FALSE, na.strings = character(0))
  for (i in seq_len(nrow(columns))) {
    cell <- table[[columns$column[i]]]
    table[[columns$column[i]]] <- switch(columns$type[i],
      integer = whole(cell),
      number = as.numeric(ifelse(cell == "", NA, cell)),
      time = as.POSIXct(ifelse(cell == "", NA, cell), format = "%Y-%m-%dT%H:%M:%OSZ", tz = "UTC"),
      # A cell that a spreadsheet would run has a quote in front.
      sub("^'(?='*[=+@\t\r-])", "", cell, perl = TRUE))
  }
  table
}

whole <- function(cell) {
  number <- as.numeric(ifelse(cell == "", NA, cell))
  if (any(abs(number) > .Machine$integer.max, na.rm = TRUE)) number else as.integer(number)
}

# y: 1 for the treatment, 1/2 for a tie, 0 for the baseline. Variance: Cameron, Gelbach and Miller (2011), by
# person, by cluster and, where clusters share seeds, by seed; interval: Wilson's with the effective number of
# votes and a t quantile (Korn and Graubard 1998).
preference <- function(y, person, cluster, seed, level = 0.95) {
  n <- length(y)
  share <- mean(y)
  people <- length(unique(person))
  clusters <- length(unique(cluster))
  ways <- list(person, cluster)
  seeds <- 0
  if (nrow(unique(data.frame(cluster, seed))) > length(unique(seed))) {
    ways <- list(person, cluster, seed)
    seeds <- length(unique(seed))
  }
  found <- data.frame(share = share, low = NA, high = NA, p = NA, people = people, clusters = clusters,
                      seeds = seeds, votes = n)
  groups <- sapply(ways, function(way) length(unique(way)))
  if (min(groups) < 2) return(found)
  # Each way alone adds with G/(G-1), two crossed take off, three add.
  term <- function(some) {
    squared <- sum(rowsum((y - share) / n, do.call(paste, c(ways[some], sep = "\r")))^2)
    if (length(some) == 1) squared * groups[some] / (groups[some] - 1) else squared * (-1)^(length(some) + 1)
  }
  crossings <- function(of) do.call(c, lapply(seq_along(of), function(m) {
    if (length(of) == 1) list(of) else combn(of, m, simplify = FALSE)
  }))
  variance <- max(sapply(crossings(seq_along(ways)), function(of) sum(sapply(crossings(of), term))))
  df <- min(groups) - 1
  n_eff <- if (variance > 1e-14) min(share * (1 - share) / variance, n) else df + 1
  t <- (share - 0.5) / if (variance > 1e-14) sqrt(variance) else sqrt(0.25 / n_eff)
  z <- qt((1 + level) / 2, df)
  spread <- z * sqrt(share * (1 - share) / n_eff + z^2 / (4 * n_eff^2))
  centre <- share + z^2 / (2 * n_eff)
  scale <- 1 + z^2 / n_eff
  found$low <- max(0, (centre - spread) / scale)
  found$high <- min(1, (centre + spread) / scale)
  found$p <- 2 * pt(-abs(t), df)
  found
}

votes <- read_table("votes")
mode <- if (any(votes$mode == "live")) "live" else "pilot"
main <- votes[votes$mode == mode & votes$kind == "main" & votes$state != "excluded", ]
pairs <- read_table("pairs")
main <- merge(main, pairs[c("pair", "baseline", "treatment")], by = "pair")
main$chosen <- ifelse(main$choice == "tie", "", ifelse(main$choice == "left", main$left, main$right))
main$y <- ifelse(main$choice == "tie", 0.5, as.numeric(main$chosen == main$treatment))
several <- length(unique(votes$question)) > 1
main$where <- if (several) paste(main$block, main$question, sep = " / ") else main$block

compared <- unique(main[c("where", "treatment", "baseline")])
compared <- compared[order(compared$where, compared$treatment), ]
results <- do.call(rbind, lapply(seq_len(nrow(compared)), function(i) {
  rows <- main[main$where == compared$where[i] & main$treatment == compared$treatment[i], ]
  data.frame(block = compared$where[i], treatment = compared$treatment[i], baseline = compared$baseline[i],
             preference(rows$y, rows$participant, rows$cluster, rows$seed))
}))
write.csv(format(results, digits = 15, trim = TRUE), stdout(), row.names = FALSE)
