// Makes everything in this folder: images, keys, signatures and attestations, by tools that are not ours: openssl,
// cosign 2 and 3, sigstore's own JavaScript packages. To be run again only when something is to be added; the tests read
// what is here. What a run needs:
//   npm install @sigstore/mock @sigstore/sign @sigstore/bundle @sigstore/protobuf-specs   (NODE_PATH=.../node_modules)
//   COSIGN2, COSIGN3: cosign of Debian 13 (2.5) and of unstable (3.1); skopeo and docker-registry on PATH
// Private keys are made in a temporary folder and go with it.
const { execFileSync, spawn } = require("child_process");
const crypto = require("crypto");
const fs = require("fs");
const http = require("http");
const os = require("os");
const path = require("path");
const zlib = require("zlib");
const mock = require("@sigstore/mock");
const sign = require("@sigstore/sign");
const { bundleToJSON } = require("@sigstore/bundle");
const { TrustedRoot } = require("@sigstore/protobuf-specs");

const OUT = __dirname;
const TMP = fs.mkdtempSync(path.join(os.tmpdir(), "zastava-evidence-"));
const BLOBS = path.join(OUT, "image", "blobs", "sha256");
const ISSUER = "https://issuer.test";
const BUILDER = "https://ci.test/acme/app/build.yml@refs/heads/main";
const SIGN = "https://sigstore.dev/cosign/sign/v1";
const IN_TOTO = "application/vnd.in-toto+json";
const OCI = "application/vnd.oci.image.manifest.v1+json";
const OCI_INDEX = "application/vnd.oci.image.index.v1+json";
const BUNDLE = "application/vnd.dev.sigstore.bundle.v0.3+json";
const EMPTY = "application/vnd.oci.empty.v1+json";
const SIMPLE = "application/vnd.dev.cosign.simplesigning.v1+json";

const sha256 = (bytes) => crypto.createHash("sha256").update(bytes).digest("hex");
const pem = (label, der) => `-----BEGIN ${label}-----\n${der.toString("base64").match(/.{1,64}/g).join("\n")}\n-----END ${label}-----\n`;
const bytes = (view) => Buffer.from(view.buffer ? Buffer.from(view.buffer, view.byteOffset, view.byteLength) : view);
const sortKeys = (value) => Array.isArray(value) ? value.map(sortKeys)
  : value && typeof value === "object" ? Object.fromEntries(Object.keys(value).sort().map((key) => [key, sortKeys(value[key])])) : value;

const made = { images: {}, evidence: {}, issuer: ISSUER, builder: BUILDER };

function blob(content, mediaType, more = {}) {
  const data = Buffer.isBuffer(content) ? content : Buffer.from(typeof content === "string" ? content : JSON.stringify(sortKeys(content)));
  const hex = sha256(data);
  fs.writeFileSync(path.join(BLOBS, hex), data);
  return { mediaType, digest: `sha256:${hex}`, size: data.length, ...more };
}

// ---- images ----

function tar(name, text) {
  const header = Buffer.alloc(512);
  const put = (at, value) => header.write(value, at, "ascii");
  put(0, name); put(100, "0000644\0"); put(108, "0000000\0"); put(116, "0000000\0");
  put(124, text.length.toString(8).padStart(11, "0") + "\0"); put(136, "00000000000\0"); put(148, "        "); put(156, "0");
  put(257, "ustar\0" + "00");
  const sum = header.reduce((total, byte) => total + byte, 0);
  put(148, sum.toString(8).padStart(6, "0") + "\0 ");
  const body = Buffer.alloc(Math.ceil(text.length / 512) * 512); body.write(text);
  return Buffer.concat([header, body, Buffer.alloc(1024)]);
}

function image(name, layers, { architecture = "amd64", annotations } = {}) {
  const tars = layers.map((text, at) => tar(`file${at}`, text));
  const config = blob({ architecture, os: "linux", config: {}, rootfs: { type: "layers", diff_ids: tars.map((t) => `sha256:${sha256(t)}`) } },
    "application/vnd.oci.image.config.v1+json");
  const descriptors = tars.map((t) => blob(zlib.gzipSync(t, { level: 9 }), "application/vnd.oci.image.layer.v1.tar+gzip"));
  const manifest = blob({ schemaVersion: 2, mediaType: OCI, config, layers: descriptors, ...(annotations && { annotations }) }, OCI);
  made.images[name] = { digest: manifest.digest, mediaType: OCI };
  return { ...manifest, platform: { architecture, os: "linux" } };
}

function index(name, manifests) {
  const descriptor = blob({ schemaVersion: 2, mediaType: OCI_INDEX, manifests }, OCI_INDEX);
  made.images[name] = { digest: descriptor.digest, mediaType: OCI_INDEX };
}

// ---- evidence ----

// A manifest that refers to an image, or that a tag of cosign's stands for.
function referrer(name, subject, artifactType, layers, more = {}) {
  const config = blob("{}", EMPTY);
  const subjectDescriptor = { ...made.images[subject], size: fs.statSync(path.join(BLOBS, made.images[subject].digest.slice(7))).size };
  const manifest = blob({ schemaVersion: 2, mediaType: OCI, artifactType, config, layers, subject: subjectDescriptor, ...more }, OCI, { artifactType });
  made.evidence[name] = { subject, referrer: manifest };
}

function tagged(name, subject, suffix, layers) {
  const config = blob({ architecture: "", os: "", rootfs: { type: "layers", diff_ids: [] } }, "application/vnd.oci.image.config.v1+json");
  const manifest = blob({ schemaVersion: 2, mediaType: OCI, config, layers }, OCI);
  made.evidence[name] = { subject, tag: suffix, manifest };
}

const bundled = (name, subject, json) => referrer(name, subject, BUNDLE, [blob(JSON.stringify(json), BUNDLE)]);

const simple = (digest, type = "cosign container image signature") =>
  Buffer.from(JSON.stringify({ critical: { identity: { "docker-reference": "reg.test/team/app" }, image: { "docker-manifest-digest": digest }, type }, optional: null }));

function statement(digest, predicateType, predicate = {}) {
  return Buffer.from(JSON.stringify({ _type: "https://in-toto.io/Statement/v1", subject: [{ digest: { sha256: digest.slice(7) } }], predicateType, predicate }));
}

const pae = (payload) => Buffer.concat([Buffer.from(`DSSEv1 ${IN_TOTO.length} ${IN_TOTO} ${payload.length} `), payload]);

// ---- keys, and signing by openssl ----

function openssl(...args) { return execFileSync("openssl", args, { stdio: ["ignore", "pipe", "pipe"] }); }

const KEYS = {
  p256: ["genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"],
  p384: ["genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-384"],
  ed25519: ["genpkey", "-algorithm", "ED25519"],
  rsa: ["genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"],
  other: ["genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"],
};
const secret = (key) => path.join(TMP, `${key}.pem`);

function makeKeys() {
  for (const [key, how] of Object.entries(KEYS)) {
    openssl(...how, "-out", secret(key));
    openssl("pkey", "-in", secret(key), "-pubout", "-out", path.join(OUT, "keys", `${key}.pub`));
  }
}

function opensslSign(key, message, hash = "sha256") {
  const file = path.join(TMP, "message");
  fs.writeFileSync(file, message);
  if (key === "ed25519") return openssl("pkeyutl", "-sign", "-inkey", secret(key), "-rawin", "-in", file);
  return openssl("dgst", `-${hash}`, "-sign", secret(key), file);
}

function hint(key) {
  return crypto.createHash("sha256").update(openssl("pkey", "-in", secret(key), "-pubout", "-outform", "DER")).digest("base64");
}

function keyBundle(key, payload, { hash, as } = {}) {
  const sig = opensslSign(key, pae(payload), hash).toString("base64");
  return { mediaType: BUNDLE, verificationMaterial: { publicKey: { hint: hint(as || key) } },
    dsseEnvelope: { payload: payload.toString("base64"), payloadType: IN_TOTO, signatures: [{ sig }] } };
}

function simpleLayer(payload, signature, more = {}) {
  return blob(payload, SIMPLE, { annotations: { "dev.cosignproject.cosign/signature": signature.toString("base64"), ...more } });
}

// ---- certificates, logs and times, by sigstore's mock ----

async function sigstore({ clock, clockOfLog } = {}) {
  const pair = (curve) => crypto.generateKeyPairSync("ec", { namedCurve: curve });
  const ct = await mock.initializeCTLog(pair("P-256"), clock);
  const ca = await mock.initializeCA(pair("P-384"), ct, clock);
  // Times of whole seconds, behind the beginning of the authority's own certificate.
  const now = new Date(Math.ceil(Date.now() / 1000) * 1000 + 2000);
  const tsa = await mock.initializeTSA(pair("P-384"), now);
  const server = http.createServer();
  await new Promise((ready) => server.listen(0, "127.0.0.1", ready));
  const url = `http://127.0.0.1:${server.address().port}`;
  const log = await mock.initializeTLog(url, pair("P-256"), clockOfLog);
  // Rekor stores a canonical form of DSSE entries; the mock stores what was proposed.
  const store = log.log.bind(log);
  log.log = (entry) => store(entry.kind === "dsse" && entry.spec.proposedContent ? canonicalDsse(entry.spec.proposedContent) : entry);
  const handlers = [mock.fulcioHandler(ca), mock.rekorHandler(log), mock.tsaHandler(tsa)];
  server.on("request", (request, response) => {
    const chunks = [];
    request.on("data", (chunk) => chunks.push(chunk));
    request.on("end", async () => {
      const handler = handlers.find((known) => known.path === request.url);
      if (!handler) { response.writeHead(404); return response.end(); }
      let body = Buffer.concat(chunks).toString();
      if (request.url.includes("signingCert")) body = withToken(body, request.headers.authorization);
      const answer = await handler.fn(body);
      const headers = { "content-type": answer.contentType || "text/plain" };
      // What the real services do and cosign wants.
      if (request.url.endsWith("/entries") && answer.statusCode === 201) {
        const uuid = Object.keys(JSON.parse(answer.response))[0];
        headers.etag = uuid; headers.location = `/api/v1/log/entries/${uuid}`;
      }
      const status = request.url.includes("signingCert") && answer.statusCode === 201 ? 200 : answer.statusCode;
      response.writeHead(status, headers);
      response.end(typeof answer.response === "string" ? answer.response : bytes(answer.response));
    });
  });
  return { url, ca, ct, tsa, log, close: () => server.close() };
}

function canonicalDsse({ envelope, verifiers }) {
  const parsed = JSON.parse(envelope);
  const hash = (data) => ({ algorithm: "sha256", value: sha256(data) });
  const verifier = (text) => {
    const inside = Buffer.from(text, "base64").toString();
    return inside.includes("CERTIFICATE") ? Buffer.from(new crypto.X509Certificate(inside).toString()).toString("base64") : text;
  };
  return { apiVersion: "0.0.1", kind: "dsse", spec: { envelopeHash: hash(envelope), payloadHash: hash(Buffer.from(parsed.payload, "base64")),
    signatures: parsed.signatures.map((one, at) => ({ signature: one.sig, verifier: verifier(verifiers[at]) })) } };
}

// cosign sends its token in a header and may send a certificate request.
function withToken(body, authorization) {
  const request = JSON.parse(body);
  if (request.credentials) return body;
  let content = request.publicKeyRequest?.publicKey?.content;
  if (request.certificateSigningRequest) {
    const csr = path.join(TMP, "csr");
    const raw = Buffer.from(request.certificateSigningRequest, "base64").toString();
    fs.writeFileSync(csr, raw);
    content = openssl("req", "-in", csr, "-noout", "-pubkey").toString();
  }
  return JSON.stringify({ credentials: { oidcIdentityToken: (authorization || "").replace(/^Bearer /, "") },
    publicKeyRequest: { publicKey: { algorithm: "ECDSA", content }, proofOfPossession: request.publicKeyRequest?.proofOfPossession || "" } });
}

function token(subject = BUILDER, issuer = ISSUER) {
  const part = (value) => Buffer.from(JSON.stringify(value)).toString("base64url");
  return [part({ alg: "none" }), part({ iss: issuer, sub: subject, aud: "sigstore", exp: 4102444800, email_verified: true }), "x"].join(".");
}

async function keyless(world, payload, { subject, issuer, log = true, time = false, tsa } = {}) {
  const witnesses = [];
  if (log) witnesses.push(new sign.RekorWitness({ rekorBaseURL: world.url, entryType: "dsse" }));
  if (time) witnesses.push(new sign.TSAWitness({ tsaBaseURL: (tsa || world).url }));
  const signer = new sign.FulcioSigner({ fulcioBaseURL: world.url, identityProvider: { getToken: async () => token(subject, issuer) } });
  return whole(await new sign.DSSEBundleBuilder({ signer, witnesses }).create({ data: payload, type: IN_TOTO }));
}

// The proof's fields that are zero or empty are spelt out, as the real log does.
function whole(bundle) {
  const json = bundleToJSON(bundle);
  for (const entry of json.verificationMaterial.tlogEntries || []) entry.inclusionProof = { logIndex: "0", hashes: [], ...entry.inclusionProof };
  return json;
}

function keySigner(key) {
  return { sign: async (data) => ({ key: { $case: "publicKey", publicKey: fs.readFileSync(path.join(OUT, "keys", `${key}.pub`), "utf8"), hint: hint(key) },
    signature: opensslSign(key, data) }) };
}

function root(world, { caEnds } = {}) {
  const start = new Date(Date.now() - 86_400_000);
  const validFor = { start };
  const keyed = (publicKey) => ({ rawBytes: publicKey, keyDetails: 5, validFor });
  const id = (publicKey) => ({ keyId: crypto.createHash("sha256").update(publicKey).digest() });
  const subject = (commonName) => ({ commonName, organization: "sigstore.mock" });
  return TrustedRoot.toJSON({
    mediaType: "application/vnd.dev.sigstore.trustedroot+json;version=0.1",
    tlogs: [{ baseUrl: world.url, hashAlgorithm: 1, publicKey: keyed(world.log.publicKey), logId: id(world.log.publicKey) }],
    certificateAuthorities: [{ subject: subject("sigstore"), uri: world.url, certChain: { certificates: [{ rawBytes: bytes(world.ca.rootCertificate) }] },
      validFor: caEnds ? { start, end: caEnds } : validFor }],
    ctlogs: [{ baseUrl: world.url, hashAlgorithm: 1, publicKey: keyed(world.ct.publicKey), logId: { keyId: bytes(world.ct.logID) } }],
    timestampAuthorities: [{ subject: subject("tsa"), uri: world.url,
      certChain: { certificates: [{ rawBytes: bytes(world.tsa.intCertificate) }, { rawBytes: bytes(world.tsa.rootCertificate) }] }, validFor }],
  });
}

// cosign's older form: what a message signature's bundle has, in annotations.
async function legacyKeyless(world, payload) {
  const signer = new sign.FulcioSigner({ fulcioBaseURL: world.url, identityProvider: { getToken: async () => token() } });
  const witnesses = [new sign.RekorWitness({ rekorBaseURL: world.url, entryType: "hashedrekord" })];
  const bundle = whole(await new sign.MessageSignatureBundleBuilder({ signer, witnesses }).create({ data: payload }));
  const { certificate, x509CertificateChain, tlogEntries: [entry] } = bundle.verificationMaterial;
  const der = (certificate || x509CertificateChain.certificates[0]).rawBytes;
  return simpleLayer(payload, Buffer.from(bundle.messageSignature.signature, "base64"), {
    "dev.sigstore.cosign/certificate": pem("CERTIFICATE", Buffer.from(der, "base64")),
    "dev.sigstore.cosign/bundle": JSON.stringify({ SignedEntryTimestamp: entry.inclusionPromise.signedEntryTimestamp,
      Payload: { body: entry.canonicalizedBody, integratedTime: +entry.integratedTime, logIndex: +entry.logIndex, logID: Buffer.from(entry.logId.keyId, "base64").toString("hex") } }),
  });
}

// ---- cosign itself ----

async function registry() {
  const config = path.join(TMP, "registry.yml");
  const port = await new Promise((found) => { const probe = http.createServer().listen(0, "127.0.0.1", () => { const { port } = probe.address(); probe.close(() => found(port)); }); });
  fs.writeFileSync(config, `version: 0.1\nlog: {level: error, accesslog: {disabled: true}}\nstorage: {filesystem: {rootdirectory: ${TMP}/registry}}\nhttp: {addr: "127.0.0.1:${port}"}\n`);
  const child = spawn("docker-registry", ["serve", config], { stdio: "ignore" });
  for (let tries = 0; tries < 100; tries++) {
    try { await fetch(`http://127.0.0.1:${port}/v2/`); break; } catch { await new Promise((again) => setTimeout(again, 50)); }
  }
  return { host: `127.0.0.1:${port}`, close: () => child.kill() };
}

function cosign(which, ...args) {
  const env = { ...process.env, COSIGN_PASSWORD: "", HOME: TMP, COSIGN_YES: "true" };
  return execFileSync(process.env[which], args, { env, cwd: TMP, stdio: ["ignore", "pipe", "pipe"] }).toString();
}

// Takes a manifest with all that it refers to out of a registry.
async function take(host, repo, reference) {
  const get = async (what, accept) => Buffer.from(await (await fetch(`http://${host}/v2/${repo}/${what}`, { headers: { accept } })).arrayBuffer());
  const manifest = await get(`manifests/${reference}`, `${OCI}, ${OCI_INDEX}`);
  const parsed = JSON.parse(manifest);
  for (const one of [parsed.config, ...(parsed.layers || [])].filter(Boolean)) blob(await get(`blobs/${one.digest}`, "*/*"), one.mediaType);
  return { descriptor: blob(manifest, parsed.mediaType || OCI), parsed };
}

async function byCosign() {
  const { host, close } = await registry();
  try {
    for (const name of ["two", "three", "log"]) {
      execFileSync("skopeo", ["copy", "-q", "--preserve-digests", "--dest-tls-verify=false", `oci:${OUT}/image:app`, `docker://${host}/team/${name}:1`]);
    }
    const app = made.images.app.digest;
    const tag = app.replace(":", "-");
    cosign("COSIGN2", "generate-key-pair", "--output-key-prefix", "cosign");
    fs.copyFileSync(path.join(TMP, "cosign.pub"), path.join(OUT, "keys", "cosign.pub"));
    const two = `${host}/team/two@${app}`;
    cosign("COSIGN2", "sign", "--key", "cosign.key", "--tlog-upload=false", "--allow-http-registry", two);
    fs.writeFileSync(path.join(TMP, "sbom.json"), JSON.stringify({ bomFormat: "CycloneDX", specVersion: "1.5", components: [] }));
    cosign("COSIGN2", "attest", "--key", "cosign.key", "--tlog-upload=false", "--type", "cyclonedx", "--predicate", "sbom.json", "--allow-http-registry", two);
    for (const suffix of [".sig", ".att"]) {
      const { descriptor } = await take(host, "team/two", tag + suffix);
      made.evidence[`cosign2${suffix}`] = { subject: "app", tag: suffix, manifest: descriptor };
    }
    cosign("COSIGN3", "sign", "--key", "cosign.key", "--tlog-upload=false", "--use-signing-config=false", "--allow-http-registry", `${host}/team/three@${app}`);
    const { parsed } = await take(host, "team/three", tag);
    const { descriptor } = await take(host, "team/three", parsed.manifests[0].digest);
    made.evidence.cosign3 = { subject: "app", referrer: { ...descriptor, artifactType: BUNDLE } };

    const world = await sigstore();
    const service = (majorApiVersion) => ({ url: world.url, majorApiVersion, validFor: { start: new Date(Date.now() - 86_400_000).toISOString() }, operator: "mock" });
    fs.writeFileSync(path.join(TMP, "signing.json"), JSON.stringify({ mediaType: "application/vnd.dev.sigstore.signingconfig.v0.2+json",
      caUrls: [service(1)], oidcUrls: [], rekorTlogUrls: [service(1)], tsaUrls: [], rekorTlogConfig: { selector: "ANY" } }));
    fs.writeFileSync(path.join(OUT, "roots", "cosign3.json"), JSON.stringify(root(world), null, 1));
    fs.copyFileSync(path.join(OUT, "roots", "cosign3.json"), path.join(TMP, "root.json"));
    fs.writeFileSync(path.join(TMP, "token"), token());
    // cosign is run while the services answer in this very process.
    await new Promise((done, failed) => {
      const child = spawn(process.env.COSIGN3, ["sign", "--yes", "--identity-token", "token", "--signing-config", "signing.json", "--trusted-root", "root.json",
        "--allow-http-registry", `${host}/team/log@${app}`], { env: { ...process.env, HOME: TMP }, cwd: TMP, stdio: ["ignore", "ignore", "inherit"] });
      child.on("exit", (code) => code ? failed(new Error(`cosign 3: ${code}`)) : done());
    });
    const list = await take(host, "team/log", tag);
    const signed = await take(host, "team/log", list.parsed.manifests[0].digest);
    made.evidence["cosign3-keyless"] = { subject: "app", referrer: { ...signed.descriptor, artifactType: BUNDLE } };
    world.close();
  } finally {
    close();
  }
}

(async () => {
  for (const folder of ["keys", "roots"]) fs.mkdirSync(path.join(OUT, folder), { recursive: true });
  fs.rmSync(path.join(OUT, "image"), { recursive: true, force: true });
  fs.mkdirSync(BLOBS, { recursive: true });
  makeKeys();

  image("base", ["base"]);
  const baseDigest = made.images.base.digest;
  const app = image("app", ["base", "app"], { annotations: { "org.opencontainers.image.base.name": "reg.test/team/base:1", "org.opencontainers.image.base.digest": baseDigest } });
  image("other", ["other"]);
  const arm = image("arm", ["base", "app"], { architecture: "arm64" });
  const sbomLayer = blob({ _type: "https://in-toto.io/Statement/v0.1", predicateType: "https://spdx.dev/Document", subject: [{ name: "app", digest: { sha256: app.digest.slice(7) } }], predicate: {} },
    IN_TOTO, { annotations: { "in-toto.io/predicate-type": "https://spdx.dev/Document" } });
  const attestation = (about) => ({ ...blob({ schemaVersion: 2, mediaType: OCI, config: blob({ architecture: "unknown", os: "unknown", rootfs: { type: "layers", diff_ids: [sbomLayer.digest] } },
    "application/vnd.oci.image.config.v1+json"), layers: [sbomLayer] }, OCI), platform: { architecture: "unknown", os: "unknown" },
    annotations: { "vnd.docker.reference.type": "attestation-manifest", "vnd.docker.reference.digest": about } });
  index("multi", [app, arm]);
  index("buildkit", [app, attestation(app.digest)]);
  fs.writeFileSync(path.join(OUT, "image", "oci-layout"), JSON.stringify({ imageLayoutVersion: "1.0.0" }));
  const named = Object.entries(made.images).map(([name, { digest, mediaType }]) => ({ mediaType, digest, size: fs.statSync(path.join(BLOBS, digest.slice(7))).size,
    annotations: { "org.opencontainers.image.ref.name": name } }));
  fs.writeFileSync(path.join(OUT, "image", "index.json"), JSON.stringify({ schemaVersion: 2, manifests: named }, null, 1));

  const digest = made.images.app.digest;
  const signed = statement(digest, SIGN);

  // With keys, without any log.
  for (const key of ["p256", "p384", "ed25519", "rsa"]) {
    tagged(`${key}.sig`, "app", ".sig", [simpleLayer(simple(digest), opensslSign(key, simple(digest)))]);
    bundled(`${key}-bundle`, "app", keyBundle(key, signed, { hash: key === "p384" ? "sha384" : "sha256" }));
  }
  tagged("wrong-key.sig", "app", ".sig", [simpleLayer(simple(digest), opensslSign("other", simple(digest)))]);
  tagged("wrong-digest.sig", "app", ".sig", [simpleLayer(simple(made.images.other.digest), opensslSign("p256", simple(made.images.other.digest)))]);
  tagged("wrong-type.sig", "app", ".sig", [simpleLayer(simple(digest, "atomic container signature"), opensslSign("p256", simple(digest, "atomic container signature")))]);
  tagged("other-image.sig", "other", ".sig", [simpleLayer(simple(made.images.other.digest), opensslSign("p256", simple(made.images.other.digest)))]);
  bundled("wrong-key-bundle", "app", keyBundle("other", signed));
  bundled("wrong-key-named-bundle", "app", keyBundle("other", signed, { as: "p256" }));
  bundled("wrong-digest-bundle", "app", keyBundle("p256", statement(made.images.other.digest, SIGN)));
  bundled("other-predicate-bundle", "app", keyBundle("p256", statement(digest, "https://cosign.sigstore.dev/attestation/vuln/v1", { result: "failed" })));
  const two = keyBundle("p256", signed);
  two.dsseEnvelope.signatures.unshift({ sig: opensslSign("other", pae(signed)).toString("base64") });
  bundled("two-signatures-bundle", "app", two);
  bundled("sbom-bundle", "app", keyBundle("p256", statement(digest, "https://cyclonedx.org/bom", { bomFormat: "CycloneDX" })));
  bundled("sbom-other-key-bundle", "app", keyBundle("other", statement(digest, "https://cyclonedx.org/bom", { bomFormat: "CycloneDX" })));
  const materials = { buildDefinition: { buildType: "x", resolvedDependencies: [{ uri: "pkg:docker/team/base@1", digest: { sha256: baseDigest.slice(7) } }] } };
  bundled("provenance-bundle", "app", keyBundle("p256", statement(digest, "https://slsa.dev/provenance/v1", materials)));
  bundled("provenance-other-key-bundle", "app", keyBundle("other", statement(digest, "https://slsa.dev/provenance/v1", materials)));
  referrer("sbom-referrer", "app", "application/vnd.cyclonedx+json", [blob({ bomFormat: "CycloneDX" }, "application/vnd.cyclonedx+json")]);
  referrer("notation", "app", "application/vnd.cncf.notary.signature", [blob("{}x", "application/jose+json")]);
  for (const leaf of ["app", "arm"]) bundled(`leaf-${leaf}-bundle`, leaf, keyBundle("p256", statement(made.images[leaf].digest, SIGN)));
  bundled("multi-bundle", "multi", keyBundle("p256", statement(made.images.multi.digest, SIGN)));

  // With certificates and logs.
  const world = await sigstore();
  fs.writeFileSync(path.join(OUT, "roots", "root.json"), JSON.stringify(root(world), null, 1));
  fs.writeFileSync(path.join(OUT, "roots", "ca-ended.json"), JSON.stringify(root(world, { caEnds: new Date(Date.now() - 3_600_000) }), null, 1));
  bundled("keyless", "app", await keyless(world, signed));
  bundled("keyless-timed", "app", await keyless(world, signed, { time: true }));
  bundled("keyless-other-subject", "app", await keyless(world, signed, { subject: "https://ci.test/evil/app/build.yml@refs/heads/main" }));
  bundled("keyless-other-issuer", "app", await keyless(world, signed, { issuer: "https://issuer.evil.test" }));
  bundled("keyless-other-image", "app", await keyless(world, statement(made.images.other.digest, SIGN)));
  bundled("keyless-vulnerable", "app", await keyless(world, statement(digest, "https://cosign.sigstore.dev/attestation/vuln/v1", { result: "failed" })));
  bundled("keyless-without-log", "app", await keyless(world, signed, { log: false, time: true }));
  const unrelated = await keyless(world, statement(made.images.other.digest, SIGN));
  const swapped = await keyless(world, signed);
  swapped.verificationMaterial.tlogEntries = unrelated.verificationMaterial.tlogEntries;
  bundled("keyless-other-entry", "app", swapped);
  const early = await keyless(world, signed);
  early.verificationMaterial.tlogEntries[0].integratedTime = String(+early.verificationMaterial.tlogEntries[0].integratedTime - 60);
  bundled("keyless-other-time", "app", early);
  tagged("keyless.sig", "app", ".sig", [await legacyKeyless(world, simple(digest))]);
  tagged("keyless-wrong-digest.sig", "app", ".sig", [await legacyKeyless(world, simple(made.images.other.digest))]);
  const logged = new sign.DSSEBundleBuilder({ signer: keySigner("p256"), witnesses: [new sign.RekorWitness({ rekorBaseURL: world.url, entryType: "dsse" })] });
  bundled("p256-logged-bundle", "app", whole(await logged.create({ data: signed, type: IN_TOTO })));
  const foreign = await sigstore();
  bundled("keyless-other-authority", "app", await keyless(foreign, signed));
  bundled("keyless-other-clock", "app", await keyless(world, signed, { time: true, tsa: foreign }));
  world.close(); foreign.close();
  // The log saw it when the certificate had ended.
  const late = await sigstore({ clock: new Date(Date.now() - 7_200_000) });
  bundled("keyless-expired", "app", await keyless(late, signed));
  fs.writeFileSync(path.join(OUT, "roots", "late.json"), JSON.stringify(root(late), null, 1));
  late.close();

  await byCosign();
  fs.writeFileSync(path.join(OUT, "made.json"), JSON.stringify(made, null, 1));
  fs.rmSync(TMP, { recursive: true, force: true });
})().catch((error) => { console.error(error); process.exit(1); });
