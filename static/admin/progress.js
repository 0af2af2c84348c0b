// Keeps an experiment's progress up to date until it ends. Without it, reloading does the same.
(() => {
  const place = document.getElementById("progress");
  const everyMs = 2000;
  const word = () => place.querySelector("strong").textContent;
  const first = word();

  async function refresh() {
    if (!document.hidden) {
      try {
        const answer = await fetch(place.dataset.source, { credentials: "same-origin" });
        if (answer.ok && !answer.redirected) {
          const open = [...place.querySelectorAll("details")].map((each) => each.open);
          place.innerHTML = await answer.text();
          place.querySelectorAll("details").forEach((each, i) => { each.open = Boolean(open[i]); });
          // At its end other buttons fit than before.
          if (["done", "failed"].includes(word()) && word() !== first) return location.reload();
        }
      } catch {
        // No network just now: the next round tries again.
      }
    }
    setTimeout(refresh, everyMs);
  }

  if (!("done" in place.dataset)) setTimeout(refresh, everyMs);
})();
