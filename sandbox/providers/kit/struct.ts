import struct from "google-protobuf/google/protobuf/struct_pb.js";
import type { WireProperties } from "./values.ts";
import { decodeProperties, encodeProperties } from "./values.ts";

/** `{}` where the engine sent none. */
export function fromStruct(value: struct.Struct | undefined): WireProperties {
  return decodeProperties(value?.toJavaScript());
}

export function toStruct(properties: WireProperties): struct.Struct {
  return struct.Struct.fromJavaScript(encodeProperties(properties));
}
