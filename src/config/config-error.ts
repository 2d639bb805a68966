/** A mistake of the operator in flags, environment or configuration file, with the text that etcd gives it. */
export class ConfigError extends Error {
  override readonly name = "ConfigError";
}
