// A small app for `handrail exec -- node server.js`. It has no limits, checks
// no signatures and knows no flags: Handrail stands in front of it.
const http = require('node:http');

const server = http.createServer((request, response) => {
  if (request.method === 'POST' && request.url === '/login') {
    response.end('Welcome.\n');
  } else if (request.method === 'GET' && request.url === '/') {
    const flags = request.headers['handrail-flags'] || 'none';
    response.end(`Hello from ${process.env.SHOP_NAME}. Flags that are on: ${flags}\n`);
  } else {
    response.statusCode = 404;
    response.end('Not found.\n');
  }
});

// Handrail chooses the port and sends SIGTERM once no request is in flight.
server.listen(process.env.PORT, process.env.HOST);
process.on('SIGTERM', () => server.close());
