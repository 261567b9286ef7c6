/** The most splits of one figure's rounds that a test looks at; six rounds against six have 924. */
export const MOST_SPLITS = 1000;

/**
 * Lists ways to choose `chosen` of `all` items, each as a mask; the first mask chooses the first items. All ways are
 * listed when there are at most MOST_SPLITS of them, otherwise that many, drawn with a fixed seed: the same reports get
 * the same answer every time.
 */
export function splitsOf(all: number, chosen: number): readonly (readonly boolean[])[] {
  const first = Array.from({ length: all }, (_, index) => index < chosen);
  return waysToChoose(all, chosen) <= MOST_SPLITS ? everySplit(all, chosen) : drawSplits(first);
}

function waysToChoose(all: number, chosen: number): number {
  let ways = 1;
  for (let index = 1; index <= chosen; index++) ways = (ways * (all - chosen + index)) / index;
  return ways;
}

function everySplit(all: number, chosen: number): readonly (readonly boolean[])[] {
  if (all === 0) return [[]];
  const [withFirst, without] = [chosen > 0, chosen < all];
  return [
    ...(withFirst ? everySplit(all - 1, chosen - 1).map((rest) => [true].concat(rest)) : []),
    ...(without ? everySplit(all - 1, chosen).map((rest) => [false].concat(rest)) : []),
  ];
}

function drawSplits(first: readonly boolean[]): readonly (readonly boolean[])[] {
  const random = generator(1);
  return Array.from({ length: MOST_SPLITS }, (_, index) => (index === 0 ? first : shuffled(first, random)));
}

function shuffled(items: readonly boolean[], random: () => number): readonly boolean[] {
  return items
    .map((item) => ({ item, key: random() }))
    .toSorted((left, right) => left.key - right.key)
    .map(({ item }) => item);
}

/** Makes numbers from 0 to below 1 out of a seed (Park and Miller's minimal standard). */
function generator(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state * 48_271) % 2_147_483_647;
    return state / 2_147_483_647;
  };
}
