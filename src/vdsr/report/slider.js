// Moves the edge of every slider on the page, those that are added later, too.
document.addEventListener("input", (event) => {
  const box = event.target.closest(".slider");
  if (box) box.style.setProperty("--at", event.target.value + "%");
});
