// Tables that sort have a dark style of their own, by a class that the theme does not set.
function followTheme() {
  document.documentElement.classList.toggle("dark", document.documentElement.dataset.theme === "dark");
}

// What is wider than the page scrolls in its box; a keyboard has to reach the box to scroll it.
function reachWideBoxes() {
  for (const box of document.querySelectorAll("article table, article pre, article div")) {
    const scrolls = box.scrollWidth > box.clientWidth && ["auto", "scroll"].includes(getComputedStyle(box).overflowX);
    if (scrolls) box.tabIndex = 0;
    else if (box.tagName === "TABLE") box.removeAttribute("tabindex");
  }
}

new MutationObserver(followTheme).observe(document.documentElement, {attributeFilter: ["data-theme"]});
followTheme();
addEventListener("load", reachWideBoxes);
addEventListener("resize", reachWideBoxes);
