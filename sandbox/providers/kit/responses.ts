import pb from "@pulumi/pulumi/proto/provider_pb.js";
import { rootOf } from "./diff.ts";
import type { DiffResult } from "./provider.ts";
import type { CheckFailure } from "./schema.ts";
import { toStruct } from "./struct.ts";
import type { WireProperties } from "./values.ts";

export function checkResponse(inputs: WireProperties, failures: CheckFailure[]): pb.CheckResponse {
  const response = new pb.CheckResponse();
  response.setInputs(toStruct(inputs));
  for (const { property, reason } of failures) {
    const failure = new pb.CheckFailure();
    failure.setProperty(property);
    failure.setReason(reason);
    response.addFailures(failure);
  }
  return response;
}

const kinds = {
  add: [pb.PropertyDiff.Kind.ADD, pb.PropertyDiff.Kind.ADD_REPLACE],
  delete: [pb.PropertyDiff.Kind.DELETE, pb.PropertyDiff.Kind.DELETE_REPLACE],
  update: [pb.PropertyDiff.Kind.UPDATE, pb.PropertyDiff.Kind.UPDATE_REPLACE],
} as const;

export function diffResponse(result: DiffResult): pb.DiffResponse {
  const response = new pb.DiffResponse();
  const replaces = [...result.changes].filter(([, { replace }]) => replace);
  const unique = (paths: string[]) => [...new Set(paths.map(rootOf))].sort();
  response.setChanges(
    result.changes.size === 0
      ? pb.DiffResponse.DiffChanges.DIFF_NONE
      : pb.DiffResponse.DiffChanges.DIFF_SOME,
  );
  response.setReplacesList(unique(replaces.map(([path]) => path)));
  response.setDiffsList(unique([...result.changes.keys()]));
  response.setStablesList(result.stables ?? []);
  response.setDeletebeforereplace(replaces.length > 0 && (result.deleteBeforeReplace ?? false));
  response.setHasdetaileddiff(true);
  for (const [path, { kind, replace }] of result.changes) {
    const detail = new pb.PropertyDiff();
    detail.setKind(kinds[kind][replace ? 1 : 0]);
    response.getDetaileddiffMap().set(path, detail);
  }
  return response;
}
