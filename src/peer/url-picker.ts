/** Which of a peer's URLs to use: the same one until it fails, then the next. */
export class UrlPicker {
  #urls: readonly string[];
  #at = 0;

  constructor(urls: readonly string[]) {
    this.#urls = urls;
  }

  get urls(): readonly string[] {
    return this.#urls;
  }

  pick(): string {
    return this.#urls[this.#at];
  }

  /** A request to `url` failed. Without effect if another one is in use by now. */
  failed(url: string): void {
    if (url === this.#urls[this.#at]) this.#at = (this.#at + 1) % this.#urls.length;
  }

  /** Begins anew with other URLs. */
  update(urls: readonly string[]): void {
    this.#urls = urls;
    this.#at = 0;
  }
}
