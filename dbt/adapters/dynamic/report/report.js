"use strict";
// The page is whole without this: it only filters the list of tables.
(function () {
  var box = document.getElementById("filter");
  if (!box) return;
  box.closest("p").hidden = false;
  var said = document.getElementById("found");
  box.addEventListener("input", function () {
    var wanted = box.value.toLowerCase(), shown = 0;
    document.querySelectorAll("#list tbody tr").forEach(function (row) {
      row.hidden = row.textContent.toLowerCase().indexOf(wanted) < 0;
      if (!row.hidden) shown += 1;
    });
    said.textContent = wanted ? shown + " found" : "";
  });
})();
