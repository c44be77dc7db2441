"use strict";
// Sorting and filtering of the tables; without it they are complete, in their first order.
for (const sheet of document.querySelectorAll(".sheet")) {
  const body = sheet.querySelector("tbody");
  const heads = [...sheet.querySelectorAll("th")];
  const rows = [...body.rows];
  const key = (row, column) => {
    const cell = row.cells[column], text = cell.dataset.k ?? cell.textContent.trim();
    return text === "–" || text === "" ? null : text !== "" && !isNaN(text) ? Number(text) : text;
  };

  heads.forEach((head, column) => {
    const button = document.createElement("button");
    button.textContent = head.textContent;
    head.replaceChildren(button);
    button.addEventListener("click", () => {
      const down = head.getAttribute("aria-sort") === "ascending";
      heads.forEach(other => other.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", down ? "descending" : "ascending");
      const order = (a, b) => typeof a === "number" && typeof b === "number" ? a - b : String(a).localeCompare(String(b));
      const sorted = rows.map(row => [key(row, column), row]).sort(([a], [b]) =>
        a === null || b === null ? (a === null) - (b === null) : down ? order(b, a) : order(a, b)); // what is missing stays last
      body.append(...sorted.map(([, row]) => row));
    });
  });

  if (rows.length < 6) continue;
  const tools = document.createElement("div"), shown = document.createElement("output"), conditions = [];
  tools.className = "tools";
  const show = () => {
    let count = 0;
    for (const row of rows) {
      row.hidden = !conditions.every(holds => holds(row));
      count += !row.hidden;
    }
    shown.textContent = `${count} of ${rows.length} rows`;
  };
  heads.forEach((head, column) => {
    const name = head.textContent.trim();
    if (!["task", "network", "quantity", "against"].includes(name)) return;
    const values = [...new Set(rows.map(row => row.cells[column].textContent.trim()))];
    if (values.length < 2) return;
    const select = document.createElement("select");
    select.setAttribute("aria-label", name);
    select.append(new Option(`every ${name}`, ""), ...values.map(value => new Option(value, value)));
    if (name === sheet.dataset.choose && values.includes("ln_Z")) select.value = "ln_Z";
    const fold = () => [head, ...rows.map(row => row.cells[column])].forEach(cell => { cell.hidden = select.value !== ""; });
    select.addEventListener("input", () => { fold(); show(); }); // a column of one value says nothing
    fold();
    conditions.push(row => !select.value || row.cells[column].textContent.trim() === select.value);
    tools.append(select);
  });
  const words = document.createElement("input");
  words.type = "search";
  words.placeholder = "find words";
  words.setAttribute("aria-label", "find words in this table");
  words.addEventListener("input", show);
  conditions.push(row => words.value.toLowerCase().split(/\s+/).every(word => row.textContent.toLowerCase().includes(word)));
  tools.append(words, shown);
  sheet.prepend(tools);
  show();
}
