// Tables that sort have a dark style of their own, by a class that the theme does not set.
function followTheme() {
  document.documentElement.classList.toggle("dark", document.documentElement.dataset.theme === "dark");
}

// A table wider than the page scrolls; a keyboard has to reach it to scroll it. The theme sees to all else that scrolls.
function reachWideTables() {
  for (const box of document.querySelectorAll("article table, article .dt-layout-cell")) {
    const scrolls = box.scrollWidth > box.clientWidth && ["auto", "scroll"].includes(getComputedStyle(box).overflowX);
    if (scrolls) box.tabIndex = 0;
    else box.removeAttribute("tabindex");
  }
}

new MutationObserver(followTheme).observe(document.documentElement, {attributeFilter: ["data-theme"]});
followTheme();
// Its size changes with the window, with the side bars, and when a table that sorts is made, which is after loading.
addEventListener("load", () => new ResizeObserver(reachWideTables).observe(document.querySelector("article")));
