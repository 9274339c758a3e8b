// Asks a running sidecar through @openfeature/server-sdk, one flag at a time.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { OFREPProvider } from '@openfeature/ofrep-provider';
import { OpenFeature } from '@openfeature/server-sdk';
import { authorization, baseUrl, change, eventually, token } from './sidecar.mjs';

const alice = { targetingKey: 'alice', plan: 'pro', age: 42, tags: ['a', { b: null }] };
let client;

before(async () => {
  await OpenFeature.setProviderAndWait(new OFREPProvider({ baseUrl, headers: authorization(token) }));
  client = OpenFeature.getClient();
});
after(() => OpenFeature.close());

test('booleans', async () => {
  assert.deepEqual(await client.getBooleanDetails('on', false, alice), {
    flagKey: 'on', flagMetadata: {}, value: true, variant: 'on', reason: 'STATIC',
  });
  assert.equal(await client.getBooleanValue('off', true, alice), false);
  assert.equal((await client.getBooleanDetails('killed', true, alice)).reason, 'DISABLED');
  assert.equal((await client.getBooleanDetails('split', false, alice)).reason, 'TARGETING_MATCH');
  assert.equal(await client.getBooleanValue('split', true, { targetingKey: 'eve' }), false);
});

test('about half of all users get a flag at 50 %, each always the same', async () => {
  const ask = (i) => client.getBooleanValue('split', false, { targetingKey: `user-${i}` });
  const users = Array.from({ length: 400 }, (_, i) => i);
  const first = await Promise.all(users.map(ask));
  const on = first.filter(Boolean).length;
  assert.ok(on > 140 && on < 260, `${on} of ${users.length}`);
  assert.deepEqual(await Promise.all(users.map(ask)), first);
});

test('strings, with metadata', async () => {
  const details = await client.getStringDetails('color', 'none', alice);
  assert.equal(details.value, 'blue');
  assert.equal(details.variant, 'blue');
  assert.deepEqual(details.flagMetadata, { beta: true, team: 'web', ticket: 12 });
});

test('numbers', async () => {
  assert.equal(await client.getNumberValue('limit', 0, alice), 10);
  assert.equal(await client.getNumberValue('ratio', 0, alice), 0.75);
});

test('objects', async () => {
  assert.deepEqual(await client.getObjectValue('layout', {}, alice), {
    columns: 3, names: ['a', 'ü"\n'], nested: { deep: true },
  });
});

test('a key with slashes', async () => {
  assert.equal(await client.getBooleanValue('a/b:c', false, alice), true);
});

test('a flag that does not exist', async () => {
  const details = await client.getStringDetails('no-such-flag', 'mine', alice);
  assert.equal(details.value, 'mine');
  assert.equal(details.errorCode, 'FLAG_NOT_FOUND');
});

test('a flag without a value gives the default', async () => {
  // This provider is from before the protocol knew that, and calls it an error.
  assert.equal(await client.getStringValue('undecided', 'mine', alice), 'mine');
});

test('another type than that of the flag', async () => {
  const details = await client.getNumberDetails('color', 7, alice);
  assert.equal(details.value, 7);
  assert.equal(details.errorCode, 'TYPE_MISMATCH');
});

test('no targeting key', async () => {
  const details = await client.getBooleanDetails('split', true, { plan: 'pro' });
  assert.equal(details.value, true);
  assert.equal(details.errorCode, 'TARGETING_KEY_MISSING');
  assert.equal(await client.getBooleanValue('on', false), true);
});

test('a context that cannot be right', async () => {
  const details = await client.getBooleanDetails('split', true, { targetingKey: 7 });
  assert.equal(details.value, true);
  assert.equal(details.errorCode, 'INVALID_CONTEXT');
});

test('a token that is wrong', async () => {
  const other = new OFREPProvider({ baseUrl, headers: authorization('wrong') });
  await OpenFeature.setProviderAndWait('wrong-token', other);
  const details = await OpenFeature.getClient('wrong-token').getBooleanDetails('on', false, alice);
  assert.equal(details.value, false);
  assert.equal(details.errorCode, 'GENERAL');
});

test('a change is seen', async () => {
  assert.equal(await client.getBooleanValue('on', false, alice), true);
  await change('on: {rolloutPercentage: 100', 'on: {rolloutPercentage: 0');
  await eventually(async () => (await client.getBooleanValue('on', true, alice)) === false);
  await change('on: {rolloutPercentage: 0', 'on: {rolloutPercentage: 100');
  await eventually(() => client.getBooleanValue('on', false, alice));
});
