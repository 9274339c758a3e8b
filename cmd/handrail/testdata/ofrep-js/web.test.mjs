// Asks a running sidecar through @openfeature/web-sdk, for all flags at once.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { OFREPWebProvider } from '@openfeature/ofrep-web-provider';
import { OpenFeature, ProviderEvents } from '@openfeature/web-sdk';
import { authorization, baseUrl, change, eventually, publicUrl, token } from './sidecar.mjs';

const answers = []; // statuses and ETags, in their order
let client;

async function counted(request, options) {
  const response = await fetch(request, options);
  answers.push({ status: response.status, etag: response.headers.get('etag') });
  return response;
}

function provider(url, options) {
  return new OFREPWebProvider({ baseUrl: url, cacheMode: 'disabled', headers: authorization(token), ...options });
}

before(async () => {
  await OpenFeature.setProviderAndWait(provider(baseUrl, { pollInterval: 50, fetchImplementation: counted }), {
    targetingKey: 'alice', plan: 'pro',
  });
  client = OpenFeature.getClient();
});
after(() => OpenFeature.close());

test('every flag is there', () => {
  assert.equal(client.getBooleanValue('on', false), true);
  assert.equal(client.getBooleanValue('killed', true), false);
  assert.equal(client.getBooleanDetails('split', false).reason, 'TARGETING_MATCH');
  assert.equal(client.getStringValue('color', 'none'), 'blue');
  assert.equal(client.getNumberValue('ratio', 0), 0.75);
  assert.deepEqual(client.getObjectValue('layout', {}).nested, { deep: true });
  assert.equal(client.getBooleanDetails('no-such-flag', true).errorCode, 'FLAG_NOT_FOUND');
});

test('a flag without a value gives the default, and is no error', () => {
  const details = client.getStringDetails('undecided', 'mine');
  assert.equal(details.value, 'mine');
  assert.equal(details.errorCode, undefined);
});

test('while nothing changes, polls are answered 304', async () => {
  await eventually(() => answers.length > 3);
  assert.equal(answers[0].status, 200);
  for (const answer of answers.slice(1)) {
    assert.deepEqual(answer, { status: 304, etag: answers[0].etag });
  }
});

test('a change is seen, and told with the flags it is about', async () => {
  const told = [];
  client.addHandler(ProviderEvents.ConfigurationChanged, (event) => told.push(...event.flagsChanged));
  await change('name: red, weight: 0', 'name: red, weight: 1000000');
  await eventually(() => client.getStringValue('color', 'none') === 'red' && told.length > 0);
  assert.deepEqual(told, ['color']);
  const seen = answers.length;
  await eventually(() => answers.length > seen + 2);
  assert.equal(answers.at(-1).status, 304);
  assert.notEqual(answers.at(-1).etag, answers[0].etag);
  await change('name: red, weight: 1000000', 'name: red, weight: 0');
  await eventually(() => client.getStringValue('color', 'none') === 'blue');
  assert.equal(answers.at(-1).etag, answers[0].etag);
});

test('another user gets answers of their own', async () => {
  await OpenFeature.setContext({ targetingKey: 'eve' });
  assert.equal(client.getBooleanValue('split', true), false);
  await OpenFeature.setContext({});
  assert.equal(client.getBooleanDetails('split', true).errorCode, 'TARGETING_KEY_MISSING');
  assert.equal(client.getBooleanValue('on', false), true);
});

test('a token that is wrong', async () => {
  const wrong = provider(baseUrl, { headers: authorization('wrong') });
  await assert.rejects(OpenFeature.setProviderAndWait('wrong-token', wrong));
});

test('clients that nobody vouches for see public flags only', async () => {
  await OpenFeature.setProviderAndWait('public', provider(publicUrl), { targetingKey: 'alice' });
  const visitor = OpenFeature.getClient('public');
  assert.equal(visitor.getBooleanValue('on', false), true);
  assert.equal(visitor.getBooleanValue('split', false), true);
  assert.equal(visitor.getStringDetails('color', 'none').errorCode, 'FLAG_NOT_FOUND');
});
