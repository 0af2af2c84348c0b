// Copies the code, and goes back to the recruiting site after a few seconds.
(() => {
  "use strict";
  const button = document.getElementById("copy");
  const code = document.getElementById("code");
  if (navigator.clipboard) {
    button.hidden = false;
    button.addEventListener("click", async () => {
      await navigator.clipboard.writeText(code.textContent.trim());
      button.textContent = button.dataset.copied;
    });
  }
  const back = document.getElementById("back");
  if (back) setTimeout(() => location.assign(back.href), 8000);
})();
