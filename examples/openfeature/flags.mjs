// Asks the sidecar's admin listener for a flag through OpenFeature's SDK:
//
//   npm install @openfeature/server-sdk @openfeature/ofrep-provider
//   node flags.mjs
import { OFREPProvider } from '@openfeature/ofrep-provider';
import { OpenFeature } from '@openfeature/server-sdk';

const baseUrl = process.env.OFREP_URL ?? 'http://127.0.0.1:9090';
await OpenFeature.setProviderAndWait(new OFREPProvider({ baseUrl }));
const client = OpenFeature.getClient();
console.log(await client.getBooleanValue('new-checkout', false, { targetingKey: 'user-1' }));
