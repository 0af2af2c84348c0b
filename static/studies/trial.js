// The trial page with a script: both pictures appear together once decoded, keys answer, the time from
// reveal to choice is measured, the next pictures load ahead, and an answer survives a lost network.
(() => {
  "use strict";
  document.documentElement.classList.add("js");

  const FIRST_WAIT = 1000;
  const LONGEST_WAIT = 15000;
  const LONGEST_WAIT_FOR_SITE = 3000; // it is reached and will soon answer again
  const pause = (ms) => new Promise((done) => setTimeout(done, ms));

  document.addEventListener("DOMContentLoaded", () => {
    const form = document.getElementById("trial");
    const pictures = [...form.querySelectorAll(".picture")];
    const answers = [...form.querySelectorAll("button[name=choice]")];
    const images = pictures.map((picture) => picture.querySelector("img"));
    const trouble = document.getElementById("trouble");
    const zoom = document.getElementById("zoom");
    const kept = `evalsite ${form.action}`;
    let revealed = null;
    let hiddenSince = null;
    let hidden = 0;
    let errors = 0;
    let sending = false;

    // --- size: whole device pixels, or both shrunk alike ------------------------------------
    function fit() {
      const ratio = window.devicePixelRatio || 1;
      const naturalWidth = Number(images[0].getAttribute("width"));
      const naturalHeight = Number(images[0].getAttribute("height"));
      const roomWidth = pictures[0].clientWidth;
      const roomHeight = window.innerHeight * 0.62;
      const room = Math.min(roomWidth / naturalWidth, roomHeight / naturalHeight) * ratio;
      const scale = (room >= 1 ? Math.floor(room) : Math.min(roomWidth / naturalWidth, 1) * ratio) / ratio;
      zoom.hidden = room >= 1;
      if (zoom.hidden) setZoom(false);
      form.style.setProperty("--shown", `${naturalWidth * scale}px`);
      for (const image of images) {
        image.style.width = `${naturalWidth * scale}px`;
        image.style.height = `${naturalHeight * scale}px`;
        image.classList.toggle("shrunk", room < 1);
      }
    }

    // --- full size: both pictures show the same part -----------------------------------------
    function setZoom(on) {
      zoom.setAttribute("aria-pressed", String(on));
      form.classList.toggle("zoomed", on);
    }

    function look(across, down) {
      const within = (share) => `${100 * Math.min(1, Math.max(0, share))}%`;
      form.style.setProperty("--across", within(across));
      form.style.setProperty("--down", within(down));
    }

    let dragged = false;
    zoom.addEventListener("click", () => setZoom(zoom.getAttribute("aria-pressed") !== "true"));
    for (const image of images) {
      image.addEventListener("pointerdown", () => { dragged = false; });
      image.addEventListener("pointermove", (event) => {
        if (!form.classList.contains("zoomed")) return;
        const place = image.getBoundingClientRect();
        look((event.clientX - place.left) / place.width, (event.clientY - place.top) / place.height);
        if (event.pointerType !== "mouse") dragged = true;
      });
    }
    // Looking around with a finger is no answer.
    form.addEventListener("click", (event) => {
      if (dragged && event.target.closest(".picture")) event.preventDefault();
      dragged = false;
    }, true);

    // --- loading ----------------------------------------------------------------------------
    async function arrive(image) {
      for (let wait = FIRST_WAIT; ; wait = Math.min(2 * wait, LONGEST_WAIT)) {
        try {
          await image.decode();
          return;
        } catch {
          errors += 1;
          trouble.textContent = form.dataset.retry;
          await pause(wait);
          image.src = image.src; // asks again
        }
      }
    }

    async function reveal() {
      await Promise.all(images.map(arrive));
      if (errors) trouble.textContent = "";
      for (const picture of pictures) picture.classList.add("shown");
      requestAnimationFrame((now) => {
        revealed = now;
        hidden = 0;
        hiddenSince = document.hidden ? now : null;
        if (!sending) enable(true);
      });
      for (const address of (form.dataset.preload || "").split(" ").filter(Boolean)) preload(address);
    }

    async function preload(address) {
      for (let wait = FIRST_WAIT; wait <= LONGEST_WAIT; wait *= 2) {
        const image = new Image();
        image.src = address;
        try {
          await image.decode();
          return;
        } catch {
          await pause(wait);
        }
      }
    }

    function enable(able) {
      for (const button of answers) button.setAttribute("aria-disabled", String(!able));
    }

    document.addEventListener("visibilitychange", () => {
      const now = performance.now();
      if (document.hidden) hiddenSince = now;
      else if (hiddenSince !== null) {
        hidden += now - hiddenSince;
        hiddenSince = null;
      }
    });

    // --- answering --------------------------------------------------------------------------
    function measure() {
      const put = (name, value) => { form.elements[name].value = value; };
      put("rt_ms", Math.max(0, Math.round(performance.now() - revealed - hidden)));
      put("hidden_ms", Math.round(hidden));
      put("viewport_width", window.innerWidth);
      put("viewport_height", window.innerHeight);
      put("pixel_ratio", window.devicePixelRatio || 1);
      put("shown_width", images[0].clientWidth);
      put("shown_height", images[0].clientHeight);
      put("image_errors", errors);
    }

    function choose(choice) {
      if (revealed === null || sending) return;
      measure();
      const body = new URLSearchParams(new FormData(form));
      body.set("choice", choice);
      for (const button of answers) button.classList.toggle("chosen", button.value === choice);
      send(body.toString());
    }

    async function send(body) {
      sending = true;
      enable(false);
      keep(body);
      for (let wait = FIRST_WAIT; ; wait = Math.min(2 * wait, LONGEST_WAIT)) {
        const slow = setTimeout(() => { trouble.textContent = form.dataset.sending; }, 800);
        let response = null;
        try {
          response = await fetch(form.action, {
            method: "POST",
            credentials: "same-origin",
            headers: { Accept: "application/json", "Content-Type": "application/x-www-form-urlencoded" },
            body,
          });
        } catch {
          // No network: said below, tried again.
        }
        clearTimeout(slow);
        if (response && response.ok) {
          const answer = await response.json().catch(() => null);
          if (answer) {
            forget();
            location.replace(answer.next);
            return;
          }
        } else if (response && response.status < 500) {
          forget();
          plainly(body);
          return;
        }
        trouble.textContent = response ? form.dataset.busy : form.dataset.offline;
        if (response) wait = Math.min(wait, LONGEST_WAIT_FOR_SITE);
        await Promise.race([pause(wait), new Promise((done) => addEventListener("online", done, { once: true }))]);
      }
    }

    // The server says no: its own page says why.
    function plainly(body) {
      const said = new URLSearchParams(body);
      const choice = document.createElement("input");
      choice.type = "hidden";
      choice.name = "choice";
      choice.value = said.get("choice");
      form.append(choice);
      form.submit();
    }

    function keep(body) {
      try { localStorage.setItem(kept, body); } catch { /* storage is full or forbidden: the page still has it */ }
    }
    function forget() {
      try { localStorage.removeItem(kept); } catch { /* nothing was kept */ }
    }
    function recall() {
      try { return localStorage.getItem(kept); } catch { return null; }
    }

    form.addEventListener("submit", (event) => {
      event.preventDefault();
      choose(event.submitter.value);
    });
    const keys = { ArrowLeft: "left", ArrowRight: "right", ArrowDown: "tie" };
    document.addEventListener("keydown", (event) => {
      if (event.key.toLowerCase() === "z" && !zoom.hidden && !event.repeat && !event.ctrlKey && !event.metaKey) {
        zoom.click();
        return;
      }
      const choice = keys[event.key];
      if (!choice || event.altKey || event.ctrlKey || event.metaKey || event.shiftKey) return;
      if (!form.querySelector(`.answers [value="${choice}"]`)) return;
      event.preventDefault(); // the page does not scroll
      if (!event.repeat) choose(choice);
    });
    // Coming back by the browser's button shows the page as it was: ask where we stand.
    addEventListener("pageshow", (event) => { if (event.persisted) location.reload(); });
    addEventListener("resize", fit);

    fit();
    enable(false);
    const earlier = recall();
    if (earlier) {
      // The page was left before the answer arrived: it goes first, with a token that is valid now.
      const body = new URLSearchParams(earlier);
      body.set("csrfmiddlewaretoken", form.elements.csrfmiddlewaretoken.value);
      send(body.toString());
    }
    reveal();
  });
})();
