// Moves the edge of every slider on the page, those that are added later, too; and zooms.
document.addEventListener("input", (event) => {
  const box = event.target.closest(".slider");
  if (box) box.style.setProperty("--at", event.target.value + "%");
});
document.addEventListener("change", (event) => {
  const zoom = event.target.closest(".slider-zoom");
  if (!zoom) return;
  const view = zoom.previousElementSibling;
  const box = view.querySelector(".slider");
  const across = (view.scrollLeft + view.clientWidth / 2) / view.scrollWidth;
  const down = (view.scrollTop + view.clientHeight / 2) / view.scrollHeight;
  const times = Number(event.target.value);
  const width = times * box.querySelector("img").getAttribute("width");
  view.classList.toggle("zoomed", times > 0);
  for (const name of ["width", "max-width"]) {
    if (times) box.style.setProperty(name, width + "px");
    else box.style.removeProperty(name);
  }
  view.scrollLeft = across * view.scrollWidth - view.clientWidth / 2;
  view.scrollTop = down * view.scrollHeight - view.clientHeight / 2;
});
