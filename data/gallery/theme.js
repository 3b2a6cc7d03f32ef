"use strict";
// Before anything is drawn: the colours that were chosen last, else those of the system.
function keptTheme(value) {
  try {
    if (value) localStorage.setItem("salmu-theme", value);
    return localStorage.getItem("salmu-theme");
  } catch {  // a browser that keeps nothing for pages on a disk
    return null;
  }
}

function isDark() {
  const chosen = document.documentElement.dataset.theme;
  return chosen ? chosen === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
}

function switchTheme() {
  const theme = isDark() ? "light" : "dark";
  document.documentElement.dataset.theme = theme;
  keptTheme(theme);
}

if (keptTheme()) document.documentElement.dataset.theme = keptTheme();
