// Shows trials, minutes and precision of the design while its numbers are typed.
(() => {
  const place = document.getElementById("planner");
  const form = document.getElementById("study_form");
  if (!place || !form) return;
  const preference = document.getElementById("planner-preference");
  const quietMs = 400;
  let waiting = 0;
  let asked = 0;

  const value = (name) => form.elements[name]?.value ?? "";

  function query() {
    const said = new URLSearchParams({ preference: preference.value });
    for (const name of ["people", "assignment", "practice", "catches", "repeats"]) said.set(name, value(name));
    let questions = 0;
    for (let n = 0; n < Number(value("questions-TOTAL_FORMS")); n++) {
      if (!form.elements[`questions-${n}-DELETE`]?.checked && value(`questions-${n}-text`)) questions++;
    }
    said.set("questions", questions);
    for (let n = 0; n < Number(value("blocks-TOTAL_FORMS")); n++) {
      const comparison = value(`blocks-${n}-comparison`);
      if (comparison && !form.elements[`blocks-${n}-DELETE`]?.checked) {
        said.append("block", `${comparison}*${value(`blocks-${n}-comparisons`)}`);
      }
    }
    return said;
  }

  async function show() {
    const number = ++asked;
    try {
      const answer = await fetch(`${place.dataset.source}?${query()}`, { credentials: "same-origin" });
      // A later question may have been answered already.
      if (answer.ok && !answer.redirected && number === asked) place.innerHTML = await answer.text();
    } catch {
      // No network just now: the next change asks again.
    }
  }

  function soon() {
    clearTimeout(waiting);
    waiting = setTimeout(show, quietMs);
  }

  for (const part of [form, preference]) {
    part.addEventListener("input", soon);
    part.addEventListener("change", soon);
  }
  show();
})();
