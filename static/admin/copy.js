// Copies the text of a part of the page, paragraph by paragraph, where the browser lets it.
(() => {
  "use strict";
  if (!navigator.clipboard) return;
  for (const button of document.querySelectorAll("button[data-copies]")) {
    button.hidden = false;
    button.addEventListener("click", async () => {
      const parts = [...document.getElementById(button.dataset.copies).children];
      await navigator.clipboard.writeText(parts.map((part) => part.textContent.trim()).join("\n\n"));
      button.textContent = button.dataset.copied;
    });
  }
})();
