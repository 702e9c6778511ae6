// Which events led to one.

/**
 * Marks an event and all that it follows from. With `past` also what happened before in the same lanes, which may have had
 * an influence: all that could have been known. Without, only what made each thing happen.
 */
function coneOf(run, root, past) {
  const inside = new Uint8Array(run.n);
  if (root < 0 || root >= run.n) return inside;
  inside[root] = 1;
  // Causes have smaller numbers, so one pass down is enough. In the past mode a lane is inside below its last event that is.
  const laneInside = new Uint8Array(run.lanes.length);
  for (let i = root; i >= 0; i--) {
    if (past && laneInside[run.lane[i]] && run.lanes[run.lane[i]].kind !== "world") inside[i] = 1;
    if (!inside[i]) continue;
    laneInside[run.lane[i]] = 1;
    const cause = run.cause[i];
    if (cause < 0) continue;
    inside[cause] = 1;
    const more = run.moreCauses.get(i);
    if (more) for (const other of more) inside[other] = 1;
  }
  return inside;
}

/** The chain of most direct causes, the nearest first. */
function chainOf(run, i, most) {
  const chain = [];
  for (let cause = run.cause[i]; cause >= 0 && chain.length < most; cause = run.cause[cause]) chain.push(cause);
  return chain;
}
