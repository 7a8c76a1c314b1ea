import pb from "@pulumi/pulumi/proto/provider_pb.js";
import { changesOfProperties } from "./diff.ts";
import type { Provider } from "./provider.ts";
import { checkResponse, diffResponse } from "./responses.ts";
import type { CheckFailure, Fields, PackageSchema, Problem } from "./schema.ts";
import { declaredTypeName, problemsOf } from "./schema.ts";
import { fromStruct } from "./struct.ts";
import { plainProperties } from "./values.ts";

/** Refuses settings that the package does not have. */
export function checkConfig(provider: Provider, request: pb.CheckRequest): pb.CheckResponse {
  const wire = fromStruct(request.getNews());
  const news = plainProperties(wire);
  const fields = configFields(provider.schema);
  const refused = problemsOf(news, fields).map((problem) =>
    problemToFailure(problem, provider.schema),
  );
  const failures = refused.length > 0 ? refused : (provider.checkConfig?.(news) ?? []);
  return checkResponse(wire, failures);
}

/** Settings never make a provider new. */
export function diffConfig(request: pb.DiffRequest): pb.DiffResponse {
  const olds = plainProperties(fromStruct(request.getOldInputs() ?? request.getOlds()));
  const news = plainProperties(fromStruct(request.getNews()));
  return diffResponse({ changes: changesOfProperties(olds, news) });
}

export async function configure(
  provider: Provider,
  request: pb.ConfigureRequest,
): Promise<pb.ConfigureResponse> {
  await provider.configure?.(plainProperties(fromStruct(request.getArgs())));
  const response = new pb.ConfigureResponse();
  response.setAcceptsecrets(true);
  response.setSupportspreview(true);
  response.setSupportsAutonamingConfiguration(true);
  return response;
}

/** What the engine itself puts beside a provider's settings. */
const ofTheEngine = ["version", "pluginDownloadURL", "pluginChecksums"];

/** Declared settings; others than strings may come as JSON text, so their type is left open. */
function configFields(schema: PackageSchema): Fields {
  const open = Object.keys(schema.config).map((name): [string, Fields[string]] => [
    name,
    { type: schema.config[name]?.type === "string" ? "string" : "any", required: false },
  ]);
  const engine = ofTheEngine.map((name): [string, Fields[string]] => [
    name,
    { type: "any", required: false },
  ]);
  return Object.fromEntries([...open, ...engine]);
}

function problemToFailure(problem: Problem, schema: PackageSchema): CheckFailure {
  const key = `${schema.name}:${problem.path}`;
  if (problem.kind === "type") {
    const expected = declaredTypeName(problem.type);
    return {
      property: "",
      reason: `could not validate provider configuration: ${key}: expected ${expected}`,
    };
  }
  return {
    property: "",
    reason:
      `\`${key}\` is not a valid configuration key for the ${schema.name} provider. ` +
      "If the referenced key is not intended for the provider, please choose a different " +
      `namespace from \`${schema.name}:\`.`,
  };
}
