import type { StatusObject } from "@grpc/grpc-js";
import { Metadata, status } from "@grpc/grpc-js";
import pb from "@pulumi/pulumi/proto/provider_pb.js";
import statusPb from "@pulumi/pulumi/proto/status_pb.js";
import any from "google-protobuf/google/protobuf/any_pb.js";
import type { PartialFailure } from "./provider.ts";
import { toStruct } from "./struct.ts";
import type { WireProperties } from "./values.ts";

/** The gRPC error by which the engine keeps a resource that exists but is not ready. */
export function initFailure(
  failure: PartialFailure,
  outputs: WireProperties,
): Partial<StatusObject> {
  const detail = new pb.ErrorResourceInitFailed();
  detail.setId(failure.id);
  detail.setProperties(toStruct(outputs));
  detail.setReasonsList(failure.reasons);
  const packed = new any.Any();
  packed.pack(detail.serializeBinary(), "pulumirpc.ErrorResourceInitFailed");
  const envelope = new statusPb.Status();
  envelope.setCode(status.UNKNOWN);
  envelope.setMessage(failure.message);
  envelope.addDetails(packed);
  const metadata = new Metadata();
  metadata.add("grpc-status-details-bin", Buffer.from(envelope.serializeBinary()));
  return { code: status.UNKNOWN, details: failure.message, metadata };
}
