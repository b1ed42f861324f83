// A click on a column's head sorts the rows by it, better values first; another click reverses the order.
for (const table of document.querySelectorAll("table.sortable")) {
  const body = table.tBodies[0];
  const heads = [...table.tHead.rows[0].cells];

  const compare = (column, sign) => (one, other) => {
    const [a, b] = [one, other].map((row) => row.cells[column]);
    if (a.dataset.value === undefined) return sign * a.textContent.trim().localeCompare(b.textContent.trim());
    const [x, y] = [a.dataset.value, b.dataset.value];
    if (x === "" || y === "") return (x === "") - (y === ""); // rows without a value stay last in both orders
    return sign * (x - y);
  };

  for (const head of heads) {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...head.childNodes);
    head.append(button);
    button.addEventListener("click", () => {
      const reversed = { ascending: "descending", descending: "ascending" };
      const order = reversed[head.getAttribute("aria-sort")] ?? head.dataset.first ?? "ascending";
      heads.forEach((each) => each.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", order);
      body.append(...[...body.rows].sort(compare(head.cellIndex, order === "ascending" ? 1 : -1)));
    });
  }
}
