// A real Authority (the certified server `oidc-provider`) and a backend that takes its tokens alone, both over TLS on
// loopback. Told by the environment: MODULES (where the packages are), CERT, KEY, CA, CLIENT_CERT (PEM files), TTL
// (seconds), NONCE (whether proofs must hold one). Says on standard output where it listens, then one line for each thing
// that happened. Images of a repository `condemned` fail, all others pass. What it reads on standard input: `revoke`,
// `break`, `mend`.
const crypto = require("crypto");
const fs = require("fs");
const https = require("https");
const { createRequire } = require("module");
const { pathToFileURL } = require("url");

const env = process.env;
const load = (name) => import(pathToFileURL(createRequire(`${env.MODULES}/`).resolve(name)));
const say = (...words) => console.log(words.join(" "));
const tls = { cert: fs.readFileSync(env.CERT), key: fs.readFileSync(env.KEY), ca: fs.readFileSync(env.CA), requestCert: true, rejectUnauthorized: false };
const listen = (handler) => new Promise((ready) => {
  const server = https.createServer(tls, (request, response) => handler(request, response));
  server.listen(0, "127.0.0.1", () => ready({ server, url: `https://localhost:${server.address().port}` }));
});
const hash = (data) => crypto.createHash("sha256").update(data).digest("base64url");
const peer = (socket) => socket.getPeerX509Certificate?.();

(async () => {
  const { Provider } = await load("oidc-provider");
  const jose = await load("jose");
  let callback = (request, response) => { response.writeHead(503); response.end(); };
  const authority = await listen((request, response) => callback(request, response));
  const clientKey = new crypto.X509Certificate(fs.readFileSync(env.CLIENT_CERT));
  const jwk = { ...clientKey.publicKey.export({ format: "jwk" }), use: "sig", kid: "c", x5c: [clientKey.raw.toString("base64")] };
  const common = { grant_types: ["client_credentials"], redirect_uris: [], response_types: [] };
  const provider = new Provider(authority.url, {
    clients: [
      { ...common, client_id: "by-secret", client_secret: "open:sesame %&", token_endpoint_auth_method: "client_secret_basic" },
      { ...common, client_id: "by-certificate", token_endpoint_auth_method: "self_signed_tls_client_auth", tls_client_certificate_bound_access_tokens: true, jwks: { keys: [jwk] } },
      { ...common, client_id: "by-certificate-and-key", token_endpoint_auth_method: "self_signed_tls_client_auth", dpop_bound_access_tokens: true, jwks: { keys: [jwk] } },
    ],
    clientAuthMethods: ["client_secret_basic", "self_signed_tls_client_auth"],
    scopes: ["api:scanner.runtime.write"],
    ttl: { ClientCredentials: Number(env.TTL || 600) },
    features: {
      devInteractions: { enabled: false },
      clientCredentials: { enabled: true },
      dPoP: { enabled: true, nonceSecret: Buffer.alloc(32, 7), requireNonce: () => env.NONCE === "yes" },
      mTLS: { enabled: true, certificateBoundAccessTokens: true, selfSignedTlsClientAuth: true,
        getCertificate: (ctx) => { const certificate = peer(ctx.socket); return certificate && certificate.toString(); },
        certificateAuthorized: () => true, certificateSubjectMatches: () => false },
      resourceIndicators: { enabled: true, defaultResource: () => undefined },
    },
  });
  provider.on("grant.success", (ctx) => say("token", ctx.oidc.client.clientId));
  provider.on("grant.error", (ctx, error) => say("refused", error.error));
  callback = provider.callback();

  let broken = false;
  let revoked = false;
  const nonces = new Set();
  // What RFC 9449 (section 7) and RFC 8705 (section 3) want a protected resource to check.
  async function check(request, url) {
    const [scheme, text] = (request.headers.authorization || "").split(" ");
    const token = text && await provider.ClientCredentials.find(text);
    if (!token || revoked) { revoked = false; return "invalid_token"; }
    if (token.jkt) {
      if (scheme !== "DPoP") return "not shown as DPoP";
      const proof = request.headers.dpop;
      const { jwk: key, typ, alg } = jose.decodeProtectedHeader(proof);
      if (typ !== "dpop+jwt" || alg !== "ES256") return "another kind of proof";
      const { payload } = await jose.jwtVerify(proof, await jose.importJWK(key, alg));
      if (await jose.calculateJwkThumbprint(key) !== token.jkt) return "another key";
      if (payload.htm !== request.method || payload.htu !== url || payload.ath !== hash(text)) return "another occasion";
      if (env.NONCE === "yes" && !nonces.has(payload.nonce)) return "use_dpop_nonce";
    } else if (scheme !== "Bearer") return "not shown as Bearer";
    const bound = token["x5t#S256"];
    if (bound && (!peer(request.socket) || hash(peer(request.socket).raw) !== bound)) return "another certificate";
    if (!token.jkt && !bound) return "bound to nothing";
    return undefined;
  }
  const backend = await listen((request, response) => {
    const chunks = [];
    request.on("data", (chunk) => chunks.push(chunk));
    request.on("end", async () => {
      const url = `https://${request.headers.host}${request.url}`;
      const answer = (status, body, headers = {}) => { response.writeHead(status, { "content-type": "application/json", ...headers }); response.end(JSON.stringify(body)); };
      if (broken) { say("broken"); return answer(500, {}); }
      const wrong = await check(request, url).catch((error) => error.message);
      if (wrong) {
        say("challenged", wrong);
        const nonce = crypto.randomUUID();
        nonces.add(nonce);
        return answer(401, {}, { "www-authenticate": `DPoP error="${wrong}"`, ...(wrong === "use_dpop_nonce" && { "dpop-nonce": nonce }) });
      }
      const question = JSON.parse(Buffer.concat(chunks));
      say("asked", question.tenant, question.namespace, question.images.length);
      const verdict = (reference) => reference.includes("/condemned@") ? { verdict: "fail", reasons: ["it phones home"] } : { verdict: "pass", reasons: [] };
      const results = Object.fromEntries(question.images.map(({ reference, digest }) => [digest, { ...verdict(reference), signed: true, hasSbom: true }]));
      return answer(200, { policyRevision: "7", ttlSeconds: 60, results });
    });
  });
  say("listening", authority.url, backend.url);
  require("readline").createInterface({ input: process.stdin }).on("line", (line) => {
    if (line === "revoke") revoked = true;
    if (line === "break") broken = true;
    if (line === "mend") broken = false;
    say("did", line);
  }).on("close", () => process.exit(0));
})().catch((error) => { console.error(error); process.exit(1); });
