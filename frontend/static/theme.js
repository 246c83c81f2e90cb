// Sets the kept theme before anything is painted. Loaded blocking in the head; app.js has the switch.
try {
  const theme = localStorage.getItem("neuronym-theme");
  if (theme === "light" || theme === "dark") document.documentElement.dataset.theme = theme;
} catch {
  // no storage: the system's theme stands
}
document.documentElement.classList.add("js");
