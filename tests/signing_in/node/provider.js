// npm's oidc-provider on a port of its own: an identity provider as vendors have one, with people who are whoever they say
// and use whichever methods they say. Prints its port; reads on standard input, as one line of JSON, what it is to know of
// its client; prints "ready"; ends with its standard input. Arguments: certificate and key (PEM).
'use strict'

const fs = require('fs')
const https = require('https')
const readline = require('readline')
const { URLSearchParams } = require('url')
const path = require('path')
const { pathToFileURL } = require('url')

// It is an ECMAScript module, which NODE_PATH does not lead to.
const modules = process.env.NODE_PATH
const load = (file) => import(pathToFileURL(path.join(modules, file)))

let answer = (request, response) => response.writeHead(503).end()
const [cert, key] = process.argv.slice(2).map((file) => fs.readFileSync(file))
const server = https.createServer({ cert, key }, (request, response) => answer(request, response))

async function provider(client) {
  const { Provider } = await load('oidc-provider/lib/index.js')
  const { generateKeyPair, exportJWK } = await load('jose/dist/node/esm/index.js')
  const { privateKey } = await generateKeyPair('RS256', { extractable: true })
  const signing = { ...(await exportJWK(privateKey)), kid: 'signing', use: 'sig', alg: 'RS256' }
  const issuer = `https://localhost:${server.address().port}`
  return new Provider(issuer, {
    clients: [client],
    jwks: { keys: [signing] },
    cookies: { keys: ['for this test only'] },
    claims: { openid: ['sub', 'amr', 'preferred_username'] },
    features: { devInteractions: { enabled: false } },
    interactions: { url: (_, interaction) => `/interaction/${interaction.uid}` },
    ttl: { AccessToken: 60, AuthorizationCode: 60, Grant: 600, IdToken: 600, Interaction: 600, Session: 600 },
    findAccount: (_, id) => ({ accountId: id, claims: () => ({ sub: id, preferred_username: id.replace('sub-', '') }) }),
    // Nobody is asked whether our own portal may know who they are.
    loadExistingGrant: async ({ oidc }) => {
      const grant = new oidc.provider.Grant({ clientId: oidc.client.clientId, accountId: oidc.session.accountId })
      grant.addOIDCScope('openid profile')
      await grant.save()
      return grant
    },
  })
}

async function body(request) {
  let text = ''
  for await (const part of request) text += part
  return new URLSearchParams(text)
}

async function start(client) {
  const oidc = await provider(client)
  oidc.on('server_error', (_, error) => console.error(error))
  const rest = oidc.callback()
  answer = async (request, response) => {
    if (!request.url.startsWith('/interaction/')) return rest(request, response)
    if (request.method === 'GET') return response.end('<form method="post"><input name="login"><input name="amr"></form>')
    const said = await body(request)
    if (said.get('refuse')) {
      const refused = { error: 'access_denied', error_description: 'they do not want to' }
      return oidc.interactionFinished(request, response, refused, { mergeWithLastSubmission: false })
    }
    const login = { accountId: `sub-${said.get('login')}`, amr: said.get('amr').split(',') }
    return oidc.interactionFinished(request, response, { login }, { mergeWithLastSubmission: false })
  }
  console.log('ready')
}

const lines = readline.createInterface({ input: process.stdin })
lines.once('line', (line) => start(JSON.parse(line)).catch((error) => {
  console.error(error)
  process.exit(1)
}))
lines.once('close', () => process.exit(0))
server.listen(0, '127.0.0.1', () => console.log(server.address().port))
