// Numbers, money and times as people read them, in English as the rest of the page.

const kLocale = "en";

const kCompact = new Intl.NumberFormat(kLocale, { notation: "compact", maximumSignificantDigits: 3 });
const kPlain = new Intl.NumberFormat(kLocale, { maximumFractionDigits: 2 });

export const compact = (value: number) => kCompact.format(value);
export const number = (value: number, digits = 2) =>
  digits === 2 ? kPlain.format(value) : new Intl.NumberFormat(kLocale, { maximumFractionDigits: digits }).format(value);
export const percent = (fraction: number, digits = 1) => `${(fraction * 100).toFixed(digits)} %`;

export function money(micros: number, currency: string): string {
  const amount = micros / 1e6;
  try {
    return new Intl.NumberFormat(kLocale, { style: "currency", currency }).format(amount);
  } catch {
    return `${kPlain.format(amount)} ${currency}`; // not an ISO 4217 code: shown as it is
  }
}

export const plural = (count: number, one: string, many = `${one}s`) => `${kPlain.format(count)} ${count === 1 ? one : many}`;

// Decimal units, as GPU makers count.
export function bytes(value: number): string {
  const units = ["B", "kB", "MB", "GB", "TB", "PB"];
  let unit = 0;
  while (Math.abs(value) >= 1000 && unit < units.length - 1) {
    value /= 1000;
    unit += 1;
  }
  return `${value.toFixed(value < 10 && unit > 0 ? 1 : 0)} ${units[unit]}`;
}

export function day(time: string): string {
  const date = new Date(time);
  return Number.isNaN(date.getTime())
    ? time
    : date.toLocaleDateString("en-GB", { year: "numeric", month: "short", day: "numeric", timeZone: "UTC" });
}

export function moment(time: string): string {
  const date = new Date(time);
  if (Number.isNaN(date.getTime())) return time;
  return `${date.toISOString().slice(0, 16).replace("T", " ")} UTC`;
}
