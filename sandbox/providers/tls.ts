import { bridged, bridgeMessages, packageSchema, serve } from "./kit.ts";
import { certRequest, locallySignedCert, privateKey, selfSignedCert } from "./tls/resources.ts";

/** Stand-in for the plugin `tls`: `node sandbox/providers/tls.ts ENGINE_ADDRESS`. */
await serve({
  schema: await packageSchema("tls"),
  secrecy: "same name",
  whenCancelled: "finish",
  messages: bridgeMessages,
  resources: {
    "tls:index/certRequest:CertRequest": bridged(certRequest),
    "tls:index/locallySignedCert:LocallySignedCert": bridged(locallySignedCert),
    "tls:index/privateKey:PrivateKey": bridged(privateKey),
    "tls:index/selfSignedCert:SelfSignedCert": bridged(selfSignedCert),
  },
});
