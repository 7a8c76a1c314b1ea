/** A repeatable source of numbers below `n` (Park and Miller's generator), so that a failure can be seen again. */
export function randomNumbers(seed: number): (n: number) => number {
  let state = seed;
  return (n) => {
    state = (state * 48271) % 2147483647;
    return state % n;
  };
}
