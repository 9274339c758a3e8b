// What the tests know of the sidecar that they ask.
import { readFile, rename, writeFile } from 'node:fs/promises';
import { setTimeout } from 'node:timers/promises';

export const baseUrl = process.env.OFREP_URL;
export const publicUrl = process.env.OFREP_PUBLIC_URL;
export const token = process.env.OFREP_TOKEN;
const flagsFile = process.env.OFREP_FLAGS;

export function authorization(value) {
  return [['Authorization', `Bearer ${value}`]];
}

// change replaces a text in the definitions of the sidecar.
export async function change(from, to) {
  const before = await readFile(flagsFile, 'utf8');
  const after = before.replace(from, to);
  if (after === before) {
    throw new Error(`${flagsFile} does not hold ${from}`);
  }
  await writeFile(`${flagsFile}.new`, after);
  await rename(`${flagsFile}.new`, flagsFile);
}

// eventually waits for a state that is reached by itself.
export async function eventually(reached) {
  for (const end = Date.now() + 30_000; ; await setTimeout(20)) {
    if (await reached()) {
      return;
    }
    if (Date.now() > end) {
      throw new Error(`never: ${reached}`);
    }
  }
}
