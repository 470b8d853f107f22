export function PlanView() {
  return <section class="view"><h1 tabIndex={-1}>Cluster plan</h1></section>;
}
