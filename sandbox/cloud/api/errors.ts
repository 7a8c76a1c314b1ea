import type { ContentfulStatusCode } from "hono/utils/http-status";

/** An answer in DigitalOcean's form: `{"id": ..., "message": ...}` with its HTTP status. */
export class ApiError extends Error {
  readonly status: ContentfulStatusCode;
  readonly id: string;

  constructor(status: ContentfulStatusCode, id: string, message: string) {
    super(message);
    this.status = status;
    this.id = id;
  }
}

export function notFound(
  message = "The resource you were accessing could not be found.",
): ApiError {
  return new ApiError(404, "not_found", message);
}

export function unprocessable(message: string): ApiError {
  return new ApiError(422, "unprocessable_entity", message);
}

export function conflict(message: string): ApiError {
  return new ApiError(409, "conflict", message);
}

export function badRequest(message: string): ApiError {
  return new ApiError(400, "bad_request", message);
}

/** The words of whatever was thrown, for logs and error bodies. */
export function reason(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
