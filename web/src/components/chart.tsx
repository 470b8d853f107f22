import { useEffect, useRef } from "preact/hooks";
import uPlot from "uplot";
import "uplot/dist/uPlot.min.css";
import { compact } from "../text/format";

export interface Series {
  name: string;
  color: string; // a custom property of styles/tokens.css
  values: (number | null)[];
  joined?: boolean; // draw over missing values
}

interface ChartProps {
  title: string;
  xName: string;
  x: number[];
  series: Series[];
  digits?: number;
}

const kHeight = 200;

// A canvas knows no custom properties: the browser resolves them on an element first.
function resolve(host: HTMLElement, property: string): string {
  const probe = document.createElement("i");
  probe.style.color = `var(${property})`;
  host.append(probe);
  const color = getComputedStyle(probe).color;
  probe.remove();
  return color;
}

// Without a pointer over the chart its legend says the newest values.
function showLast(plot: uPlot) {
  plot.setLegend({ idxs: plot.data.map((values) => values.findLastIndex((value) => value !== null)) }, false);
}

function options(host: HTMLElement, props: ChartProps): uPlot.Options {
  const axis: uPlot.Axis = {
    stroke: resolve(host, "--muted"),
    grid: { stroke: resolve(host, "--line"), width: 1 },
    ticks: { show: false },
    font: `12px ${getComputedStyle(host).fontFamily}`,
  };
  const show = (value: number | null) => (value === null || value === undefined ? "–" : value.toFixed(props.digits ?? 3));
  return {
    width: Math.max(host.clientWidth, 160),
    height: kHeight,
    padding: [8, 12, 0, 0],
    cursor: { points: { size: 7 }, drag: { x: true, y: false } },
    hooks: { ready: [showLast], setCursor: [(plot) => { if (plot.cursor.idx === null) showLast(plot); }] },
    scales: { x: { time: false } },
    axes: [
      { ...axis, values: (_, ticks) => ticks.map((tick) => compact(tick)) },
      { ...axis, size: 56, values: (_, ticks) => ticks.map((tick) => compact(tick)) },
    ],
    series: [
      { label: props.xName, value: (_, value) => (value === null ? "–" : value.toLocaleString()) },
      ...props.series.map((line) => ({
        label: line.name, stroke: resolve(host, line.color), width: 2, spanGaps: line.joined, value: (_: uPlot, value: number | null) => show(value),
        points: { show: line.joined === true || line.values.filter((value) => value !== null).length < 2, size: 6 },
      })),
    ],
  };
}

function summary({ title, series, digits = 3 }: ChartProps): string {
  const parts = series.map((line) => {
    const values = line.values.filter((value): value is number => value !== null);
    if (values.length === 0) return `${line.name}: no values`;
    return `${line.name}: from ${values[0]!.toFixed(digits)} to ${values[values.length - 1]!.toFixed(digits)}`;
  });
  return `${title}. ${parts.join(". ")}.`;
}

// Redrawn when its data or the theme changes, resized with its box. Its first and last values are its text alternative.
export function Chart(props: ChartProps) {
  const host = useRef<HTMLDivElement>(null);
  useEffect(() => {
    const box = host.current!;
    const data = [props.x, ...props.series.map((line) => line.values)] as uPlot.AlignedData;
    let plot = new uPlot(options(box, props), data, box);
    const redraw = () => {
      plot.destroy();
      plot = new uPlot(options(box, props), data, box);
    };
    const resize = new ResizeObserver(() => plot.setSize({ width: Math.max(box.clientWidth, 160), height: kHeight }));
    resize.observe(box);
    addEventListener("themechange", redraw);
    return () => {
      resize.disconnect();
      removeEventListener("themechange", redraw);
      plot.destroy();
    };
  }, [props.x, props.series]);
  return (
    <figure class="chart">
      <figcaption>{props.title}</figcaption>
      <div ref={host} role="img" aria-label={summary(props)} />
    </figure>
  );
}
