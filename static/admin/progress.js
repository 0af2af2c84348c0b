// Keeps an experiment's progress up to date until it is done. Without it, reloading does the same.
(() => {
  const place = document.getElementById("progress");
  const everyMs = 2000;

  async function refresh() {
    if (!document.hidden) {
      try {
        const answer = await fetch(place.dataset.source, { credentials: "same-origin" });
        if (answer.ok && !answer.redirected) {
          const html = await answer.text();
          if (html !== place.lastHtml) place.innerHTML = html;
          place.lastHtml = html;
          if (place.querySelector("strong")?.textContent === "done") return;
        }
      } catch {
        // No network just now: the next round tries again.
      }
    }
    setTimeout(refresh, everyMs);
  }

  if (!("done" in place.dataset)) setTimeout(refresh, everyMs);
})();
