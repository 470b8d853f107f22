import { useId } from "preact/hooks";

interface SegmentedProps<T extends string> {
  label: string;
  options: { value: T; name: string; title?: string }[];
  value: T;
  onValue: (value: T) => void;
}

// One choice of a few. Native radio buttons, so arrow keys move and Tab leaves.
export function Segmented<T extends string>({ label, options, value, onValue }: SegmentedProps<T>) {
  const group = useId();
  return (
    <fieldset class="segmented">
      <legend class="visually-hidden">{label}</legend>
      {options.map((option) => (
        <label key={option.value} title={option.title}>
          <input type="radio" name={group} value={option.value} checked={option.value === value}
                 onChange={() => onValue(option.value)} />
          <span>{option.name}</span>
        </label>
      ))}
    </fieldset>
  );
}
