import { useMemo } from "preact/hooks";

interface Bird {
  x: number;
  y: number;
  size: number;
  tilt: number;
  tone: number;
}

// A murmuration on a 200 x 120 field: the golden angle spreads the birds over a disc, two waves fold it into a flock.
// Fixed by the count alone, so the picture is the same on every visit.
function murmuration(count: number): Bird[] {
  const scale = Math.min(2, Math.sqrt(190 / count)); // fewer birds are larger
  const goldenAngle = Math.PI * (3 - Math.sqrt(5));
  return Array.from({ length: count }, (_, i) => {
    const radius = Math.sqrt((i + 0.5) / count);
    const angle = i * goldenAngle;
    const u = radius * Math.cos(angle);
    const v = radius * Math.sin(angle);
    const fold = Math.sin(u * 2.6) * 26;
    return {
      x: 100 + u * 88 + v * 14,
      y: 60 + v * (24 + 16 * Math.cos(u * 3.1)) - fold,
      size: scale * (0.75 + 0.85 * Math.abs(Math.sin(i * 1.7 + u * 2))),
      tilt: Math.round((Math.cos(u * 2.6) * -34 + v * 20) * 10) / 10,
      tone: i % 3,
    };
  });
}

export function Flock({ birds, class: name }: { birds: number; class: string }) {
  const flock = useMemo(() => murmuration(birds), [birds]);
  return (
    <svg class={`flock ${name}`} viewBox="0 0 200 120" aria-hidden="true">
      {flock.map((bird, i) => (
        <path key={i} class={`bird-${bird.tone}`} d="M-2.4 0Q-1-1.5 0 0Q1-1.5 2.4 0Q1-.5 0 .9Q-1-.5-2.4 0Z"
              transform={`translate(${bird.x.toFixed(1)} ${bird.y.toFixed(1)}) rotate(${bird.tilt}) scale(${bird.size.toFixed(2)})`} />
      ))}
    </svg>
  );
}
