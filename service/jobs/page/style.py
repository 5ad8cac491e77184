"""How the report page looks. Colours are Okabe and Ito's, which colour-blind readers tell apart."""

STYLESHEET = """
:root {
  color-scheme: light dark;
  --paper: #ffffff; --ink: #1b1f24; --muted: #57606a; --line: #d5dae0; --tint: #f4f6f8;
  --first: #0072b2; --second: #c04f00; --third: #00795a; --heat: #0b4f8a; --on-heat: #ffffff;
}
@media screen and (prefers-color-scheme: dark) {
  :root {
    --paper: #14171a; --ink: #e6e9ec; --muted: #a5aeb7; --line: #3a4149; --tint: #1e2328;
    --first: #56b4e9; --second: #f0a030; --third: #3ccfa4; --heat: #8ecbf2; --on-heat: #101315;
  }
}
* { box-sizing: border-box; }
html { background: var(--paper); color: var(--ink); }
body {
  font: 16px/1.55 system-ui, -apple-system, "Segoe UI", "Noto Sans", Helvetica, Arial, sans-serif;
  max-width: 60rem; margin: 0 auto; padding: 2.5rem 1.5rem 4rem; -webkit-print-color-adjust: exact;
  print-color-adjust: exact;
}
h1 { font-size: 1.9rem; line-height: 1.2; margin: 0 0 .4rem; overflow-wrap: anywhere; }
h2 { font-size: 1.3rem; margin: 0 0 .5rem; }
h3 { font-size: 1rem; margin: 1.5rem 0 .3rem; overflow-wrap: anywhere; }
p { margin: .5rem 0; max-width: 46rem; }
section { margin-top: 2.5rem; padding-top: 1.75rem; border-top: 1px solid var(--line); }
a { color: var(--first); }
code { font: .86em ui-monospace, "DejaVu Sans Mono", Menlo, Consolas, monospace; overflow-wrap: anywhere; }
.quiet, figcaption, .caption { color: var(--muted); font-size: .9rem; }
.lead { font-size: 1.2rem; line-height: 1.45; }
nav { margin-top: 1.5rem; font-size: .9rem; }
nav ul { list-style: none; display: flex; flex-wrap: wrap; gap: .2rem 1.1rem; margin: 0; padding: 0; }
.tiles { display: flex; flex-wrap: wrap; gap: 1rem; margin: 1.25rem 0; }
.tile { flex: 1 1 11rem; background: var(--tint); border-radius: 8px; padding: .9rem 1.1rem; }
.tile b { display: block; font-size: 1.9rem; line-height: 1.2; font-variant-numeric: tabular-nums; }
.tile span { display: block; font-size: .88rem; color: var(--muted); }
.tile span.name { color: var(--ink); font-weight: 600; }
.notes { padding: 0; list-style: none; }
.notes li { border-left: 4px solid var(--second); background: var(--tint); padding: .55rem .9rem; margin: .5rem 0; }
.notes li code { color: var(--muted); display: block; }
figure { margin: 1.25rem 0; }
figcaption { margin-top: .4rem; max-width: 46rem; }
.scroll { overflow-x: auto; }
table {
  border-collapse: collapse; width: 100%; margin-bottom: 1rem; font-size: .9rem; font-variant-numeric: tabular-nums;
}
.caption { margin: 1rem 0 .4rem; }
th, td {
  padding: .35rem .6rem; border-bottom: 1px solid var(--line); text-align: right; vertical-align: top;
  white-space: nowrap;
}
thead th { border-bottom: 2px solid var(--line); font-weight: 600; vertical-align: bottom; white-space: normal; }
tbody th { font-weight: 500; }
.words { text-align: start; white-space: normal; overflow-wrap: anywhere; min-width: 6rem; }
td.words { min-width: 9rem; }
thead .words { text-align: left; overflow-wrap: normal; }
tbody th.words { text-align: left; }
.text { min-width: 16rem; width: 50%; }
.narrow { white-space: normal; }
.several { white-space: normal; }
.whole { white-space: nowrap; }
.label {
  display: inline-block; background: var(--tint); border: 1px solid var(--line); border-radius: 4px; padding: 0 .4rem;
  margin: 0 .2rem .2rem 0; max-width: 12rem; overflow-wrap: break-word;
}
.heated { background: color-mix(in srgb, var(--heat) calc(var(--share) * 1%), transparent); }
.heated.dark { color: var(--on-heat); }
.last th, .last td { border-top: 2px solid var(--muted); font-weight: 600; }
svg { display: block; max-width: 100%; height: auto; font: 12px system-ui, "Noto Sans", Helvetica, Arial, sans-serif; }
svg text { fill: var(--ink); font-variant-numeric: tabular-nums; unicode-bidi: plaintext; }
svg .small { font-size: 10px; fill: var(--muted); }
svg .axis { fill: var(--muted); font-size: 11px; }
svg .strong { font-weight: 600; }
svg .grid { stroke: var(--line); stroke-width: 1; }
svg .guide { stroke: var(--muted); stroke-width: 1.25; stroke-dasharray: 4 4; fill: none; }
svg .band { fill: var(--first); opacity: .12; }
svg .curve { fill: none; stroke-width: 2; }
svg .dashed { stroke-dasharray: 6 4; }
svg .first { --own: var(--first); }
svg .second { --own: var(--second); }
svg .third { --own: var(--third); }
svg .plain { --own: var(--muted); }
svg .curve, svg .whisker { stroke: var(--own); }
svg .dot, svg .bar { fill: var(--own); }
svg .bar { opacity: .6; }
svg .whisker { stroke-width: 2; fill: none; }
svg .whisker.ink { stroke: var(--ink); stroke-width: 1.25; }
svg .heat { fill: var(--heat); }
svg .cell { fill: none; stroke: var(--line); }
svg .cell.right { stroke: var(--ink); stroke-width: 1.5; }
svg .on-heat { fill: var(--on-heat); }
@media (max-width: 40rem) { body { padding: 1.25rem 1rem 3rem; } figure .wide { min-width: 40rem; } }
@media print {
  @page { margin: 16mm 14mm; }
  body { max-width: none; padding: 0; font-size: 10.5pt; }
  nav { display: none; }
  section { margin-top: 1.4rem; padding-top: 1rem; }
  h2, h3, h2 + p, h3 + p, .caption, thead { break-after: avoid; }
  p, figure, tr, .tile, .notes li { break-inside: avoid; }
  thead { display: table-header-group; }
  table { font-size: 8.5pt; }
  .scroll { overflow: visible; }
}
"""
