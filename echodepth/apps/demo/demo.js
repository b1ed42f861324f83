// One pointer over all maps: the value under it, in metres, appears above each map. Gradio provides `element`.
const decoded = new WeakMap();

function metres(figure) {
  if (!decoded.has(figure)) {
    const bytes = Uint8Array.from(atob(figure.dataset.metres), (c) => c.charCodeAt(0));
    decoded.set(figure, new DataView(bytes.buffer));
  }
  return decoded.get(figure);
}

function show(x, y) {
  for (const figure of element.querySelectorAll(".maps figure")) {
    const mark = figure.querySelector("i");
    mark.style.left = `${100 * x}%`;
    mark.style.top = `${100 * y}%`;
    mark.style.display = "block";
    if (!figure.dataset.metres) continue;
    const rows = Number(figure.dataset.rows), columns = Number(figure.dataset.columns);
    const row = Math.min(rows - 1, Math.floor(y * rows)), column = Math.min(columns - 1, Math.floor(x * columns));
    const millimetres = metres(figure).getUint16(2 * (row * columns + column), true);
    figure.querySelector("output").textContent = millimetres ? `${(millimetres / 1000).toFixed(2)} m` : "unknown";
  }
}

element.addEventListener("pointermove", (event) => {
  const map = event.target.closest(".map");
  if (!map) return hide();
  const box = map.getBoundingClientRect();
  const inside = (v) => Math.min(Math.max(v, 0), 0.999999);
  show(inside((event.clientX - box.left) / box.width), inside((event.clientY - box.top) / box.height));
});

function hide() {
  for (const mark of element.querySelectorAll(".maps figure i")) mark.style.display = "none";
  for (const output of element.querySelectorAll(".maps output")) output.textContent = "";
}
element.addEventListener("pointerleave", hide);
