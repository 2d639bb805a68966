/** Reads the project's compose files as Compose does, as far as they use it: merge keys, `${NAME:-default}`, overrides. */
import { readFileSync } from "node:fs";

import { parse } from "yaml";

export const ROOT = new URL("../../", import.meta.url);

/** What the tests look at. Everything that the files leave out is undefined. */
export interface Service {
  readonly image?: string;
  readonly build?: string;
  readonly command?: string | readonly string[];
  readonly profiles?: readonly string[];
  readonly environment?: Readonly<Record<string, string>>;
  readonly ports?: readonly string[];
  readonly volumes?: readonly string[];
  readonly depends_on?: readonly string[] | Readonly<Record<string, unknown>>;
  readonly working_dir?: string;
  readonly read_only?: boolean;
  readonly tmpfs?: readonly string[];
  readonly healthcheck?: { readonly test: readonly string[] };
}

export interface ComposeFile {
  readonly services: Readonly<Record<string, Service>>;
  readonly volumes?: Readonly<Record<string, unknown>>;
}

export function readText(path: string): string {
  return readFileSync(new URL(path, ROOT), "utf8");
}

/** A compose file with its variables replaced from `env`. */
export function readCompose(path: string, env: Readonly<Record<string, string>> = {}): ComposeFile {
  const text = readText(path).replaceAll(
    /\$\{(\w+):-([^}]*)\}/g,
    (_all, name: string, otherwise: string) => env[name] ?? otherwise,
  );
  const file = parse(text, { merge: true }) as ComposeFile;
  for (const service of Object.values(file.services)) {
    if (service.environment) Object.assign(service, { environment: asVariables(service.environment) });
  }
  return file;
}

/** Numbers may be written bare; Compose refuses bare `true` and `false`, so that nobody has to know how they are spelt. */
function asVariables(environment: Readonly<Record<string, unknown>>): Record<string, string> {
  return Object.fromEntries(
    Object.entries(environment).map(([name, value]) => {
      if (typeof value !== "string" && typeof value !== "number") throw new Error(`${name}: quote it`);
      return [name, String(value)];
    }),
  );
}

/** `base` with `override` on top: environments are merged, volumes added. */
export function overlay(base: ComposeFile, override: ComposeFile): ComposeFile {
  const services = { ...base.services };
  for (const [name, added] of Object.entries(override.services)) {
    const under = services[name] ?? {};
    services[name] = {
      ...under,
      ...added,
      environment: { ...under.environment, ...added.environment },
      volumes: [...(under.volumes ?? []), ...(added.volumes ?? [])],
    };
  }
  return { ...base, services };
}

/** The services that are members: those built from the Dockerfile. */
export function membersOf(file: ComposeFile): [name: string, service: Service][] {
  return Object.entries(file.services).filter(([, service]) => service.build !== undefined);
}
