// The page of one pair: both in one place, swapped (key S), or side by side (B); closer and farther (+ and -).
"use strict";
document.addEventListener("DOMContentLoaded", () => {
  for (const pair of document.querySelectorAll(".pair")) {
    const sides = pair.querySelector(".pair-sides");
    const windows = [...pair.querySelectorAll(".pair-window")];
    const hint = pair.querySelector(".pair-hint");
    let zoom = 1;

    const show = () => {
      pair.style.setProperty("--zoom", zoom);
      hint.textContent = zoom === 1 ? "" : `${zoom} times as large`;
    };
    const acts = {
      swap: () => {
        // Both lie in one place, so that the eye sees what changes.
        const stacked = pair.classList.contains("pair-stacked");
        pair.classList.add("pair-stacked");
        sides.dataset.front = stacked && sides.dataset.front !== "1" ? "1" : "0";
        hint.textContent = windows[Number(sides.dataset.front)].nextElementSibling.textContent;
      },
      closer: () => { zoom = Math.min(16, zoom * 2); show(); },
      farther: () => { zoom = Math.max(1, zoom / 2); show(); },
      beside: () => { pair.classList.remove("pair-stacked"); hint.textContent = ""; },
    };
    pair.querySelector(".pair-buttons").hidden = false;
    pair.addEventListener("click", (event) => acts[event.target.dataset.do]?.());
    document.addEventListener("keydown", (event) => {
      if (event.target.matches("input, textarea, select") || event.ctrlKey || event.metaKey || event.altKey) return;
      const act = { s: "swap", S: "swap", "+": "closer", "=": "closer", "-": "farther", b: "beside", B: "beside" }[event.key];
      if (act) { event.preventDefault(); acts[act](); }
    });
    for (const [i, one] of windows.entries()) {
      one.addEventListener("scroll", () => {
        const other = windows[1 - i];
        if (other.scrollLeft !== one.scrollLeft) other.scrollLeft = one.scrollLeft;
        if (other.scrollTop !== one.scrollTop) other.scrollTop = one.scrollTop;
      });
    }
  }
});
