// Keeps a part of a page up to date while somebody looks at it. Without it, reloading does the same.
(() => {
  const everyMs = 5000;
  for (const place of document.querySelectorAll("[data-refresh]")) {
    const refresh = async () => {
      if (!document.hidden) {
        try {
          const answer = await fetch(place.dataset.refresh, { credentials: "same-origin" });
          if (answer.ok && !answer.redirected) place.innerHTML = await answer.text();
        } catch {
          // No network just now: the next round tries again.
        }
      }
      setTimeout(refresh, everyMs);
    };
    setTimeout(refresh, everyMs);
  }
})();
