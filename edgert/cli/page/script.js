"use strict";
// Choosing a node in the graph, the arena or the table marks it in all three and shows its details.
const detail = document.getElementById("detail");

function choose(index, from) {
  for (const marked of document.querySelectorAll(".on")) marked.classList.remove("on");
  const template = index === null ? null : document.getElementById("node-" + index);
  detail.hidden = !template;
  if (!template) return;
  detail.replaceChildren(template.content.cloneNode(true));
  for (const item of document.querySelectorAll(`[data-node="${index}"], .e${index}`)) {
    item.classList.add("on");
    // Only the graph scrolls to it: the page stays where the reader is.
    if (item.matches(".card") && item !== from) item.scrollIntoView({ block: "nearest", inline: "nearest" });
  }
}

document.addEventListener("click", (event) => {
  if (event.target.closest("#detail button")) return choose(null);
  const item = event.target.closest("[data-node]");
  if (item) choose(item.dataset.node, item);
});
document.addEventListener("keydown", (event) => {
  if (event.key === "Escape") choose(null);
});
// A graph wider than its pane opens centred on its inputs.
const scroll = document.querySelector(".scroll");
const input = scroll.querySelector(".end");
if (input) {
  const [pane, card] = [scroll.getBoundingClientRect(), input.getBoundingClientRect()];
  scroll.scrollLeft += card.left + card.width / 2 - pane.left - pane.width / 2;
}
