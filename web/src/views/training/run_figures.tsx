import { useMemo } from "preact/hooks";
import type { TrainingPoint, TrainingRun } from "../../api/types";
import { Chart } from "../../components/chart";
import { Stat } from "../../components/stat";
import { compact, number, percent } from "../../text/format";

type Figure = Exclude<keyof TrainingPoint, "step">;

const column = (points: TrainingPoint[], figure: Figure) => points.map((point) => point[figure] ?? null);

function last(points: TrainingPoint[], figure: Figure): number | undefined {
  for (let i = points.length - 1; i >= 0; i -= 1) {
    const value = points[i]![figure];
    if (value !== null && value !== undefined) return value;
  }
  return undefined;
}

const shown = (value: number | undefined, format: (value: number) => string) => (value === undefined ? "–" : format(value));

export function RunStats({ points }: { points: TrainingPoint[] }) {
  return (
    <dl class="stats">
      <Stat name="Validation" value={shown(last(points, "validation_bits_per_byte"), (v) => v.toFixed(3))} note="bits per byte" />
      <Stat name="Loss" value={shown(last(points, "loss"), (v) => v.toFixed(3))} note="nats per token" />
      <Stat name="Tokens seen" value={shown(last(points, "tokens"), compact)} note={`${number(last(points, "tokens") ? points[points.length - 1]!.step : 0)} steps`} />
      <Stat name="Speed" value={shown(last(points, "tokens_per_s"), compact)} note="tokens per second" />
      <Stat name="Of the measured peak" value={shown(last(points, "fraction_of_peak"), (v) => percent(v))} />
    </dl>
  );
}

export function RunCharts({ run }: { run: TrainingRun }) {
  const { points } = run;
  const charts = useMemo(() => {
    const series = (name: string, figure: Figure, color: string, joined = false) => [{ name, color, joined, values: column(points, figure) }];
    return {
      x: points.map((point) => point.step),
      loss: series("loss", "loss", "--series-1"),
      validation: series("bits per byte", "validation_bits_per_byte", "--series-2", true),
      speed: series("tokens/s", "tokens_per_s", "--series-3"),
      rate: series("learning rate", "learning_rate", "--series-4"),
    };
  }, [points]);
  return (
    <div class="charts">
      <Chart title="Training loss (nats per token)" xName="step" x={charts.x} series={charts.loss} />
      <Chart title="Validation, bits per byte of later posts" xName="step" x={charts.x} series={charts.validation} />
      <Chart title="Tokens per second" xName="step" x={charts.x} series={charts.speed} digits={0} />
      <Chart title="Learning rate" xName="step" x={charts.x} series={charts.rate} digits={6} />
    </div>
  );
}
