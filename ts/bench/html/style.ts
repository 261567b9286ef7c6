/** The style sheet of the page. The charts take their colours from its variables. */
export const STYLE = `
:root {
  color-scheme: light dark;
  --paper: #fff; --ink: #1c2024; --soft: #5c6670; --line: #d9dee3;
  --mapped-ram: #2f6fde; --fio: #e08a1e; --copy: #8b949e; --qemu: #c2447c;
  --cold: #fff; --hot: #6ea0f5;
}
@media (prefers-color-scheme: dark) {
  :root {
    --paper: #14171a; --ink: #e6e9ec; --soft: #9aa4ae; --line: #343a40;
    --mapped-ram: #4d87ec; --fio: #d98a2b; --copy: #7d8791; --qemu: #d45c92;
    --cold: #14171a; --hot: #2b62c4;
  }
}
body { background: var(--paper); color: var(--ink); font: 15px/1.5 system-ui, sans-serif; margin: 0 auto; max-width: 1040px; padding: 24px 20px 60px; }
h1 { font-size: 26px; margin: 0 0 4px; }
h2 { border-bottom: 1px solid var(--line); font-size: 20px; margin: 44px 0 12px; padding-bottom: 4px; }
h3 { font-size: 16px; margin: 26px 0 8px; }
p, figcaption, caption { color: var(--soft); }
figure { margin: 0 0 24px; overflow-x: auto; }
figcaption, caption { font-size: 13px; text-align: left; }
caption { color: var(--ink); font-weight: 600; }
dl { display: grid; gap: 2px 20px; grid-template-columns: max-content 1fr; }
dt { color: var(--soft); }
dd { margin: 0; overflow-wrap: anywhere; }
.scroll { margin-bottom: 24px; overflow-x: auto; }
table { border-collapse: collapse; font-size: 13.5px; font-variant-numeric: tabular-nums; width: 100%; }
th, td { border-bottom: 1px solid var(--line); padding: 4px 10px 4px 0; text-align: right; white-space: nowrap; }
th { color: var(--soft); font-weight: 500; vertical-align: bottom; }
th:first-child, td:first-child { text-align: left; }
.legend { display: flex; flex-wrap: wrap; gap: 4px 20px; list-style: none; margin: 0 0 8px; padding: 0; }
.legend i { border-radius: 2px; display: inline-block; height: 12px; margin-right: 6px; vertical-align: -1px; width: 12px; }
`;
