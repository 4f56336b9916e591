// A browser that checks the page. Reads one check a line, {"check": name, ...arguments}, and answers each with {"error": null or text}.
// Driven by tests/live/test_browser.py, which starts the servers and the Go programs.
import { readFileSync } from "node:fs";
import { mkdir } from "node:fs/promises";
import { createInterface } from "node:readline";
import { chromium } from "playwright-core";

const axeSource = readFileSync(new URL("node_modules/axe-core/axe.min.js", import.meta.url), "utf8");
const WAIT = 60000; // of a busy machine
const browser = await chromium.launch({ executablePath: "/usr/bin/chromium", args: ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"] });

function ensure(ok, text) {
  if (!ok) throw new Error(text);
}

/** A page of its own, of which anything that a person would call an error is kept. */
async function open(args, where, options = {}) {
  const context = await browser.newContext({ viewport: { width: 1280, height: 800 }, colorScheme: "light", acceptDownloads: true, ...options });
  const page = await context.newPage();
  page.setDefaultTimeout(WAIT);
  const wrong = [];
  const ours = new RegExp(`/pid/(${[args.pid, args.other, args.hostile].join("|")})/`);
  page.on("console", (m) => {
    const url = m.location().url;
    if (/\/pid\/\d+\//.test(url) && !ours.test(url)) return; // another process of this machine that has just ended
    if (url.endsWith("f=%28")) return; // a pattern that is none, on purpose
    if (m.type() === "error" || m.type() === "warning") wrong.push(`${m.text()} ${url}`);
  });
  page.on("pageerror", (e) => wrong.push(String(e)));
  page.on("dialog", (d) => { wrong.push(`dialog: ${d.message()}`); void d.dismiss(); });
  await page.addInitScript(() => document.addEventListener("securitypolicyviolation", (e) => console.error(`CSP: ${e.violatedDirective} ${e.blockedURI} ${e.sample}`)));
  page.wrong = wrong;
  await page.goto(where.includes("://") ? where : `${args.url}/#/${where}`);
  return page;
}
async function close(page) {
  const wrong = page.wrong;
  await page.context().close();
  ensure(wrong.length === 0, `the browser's console has ${wrong.join("\n")}`);
}

/** What shows that a page has its answer. */
const READY = {
  processes: "tbody tr td:nth-child(5):has-text('iB')", ledger: ".waterfall .wf-row.sum .bar", map: ".legend .swatch", profile: ".flame .box:nth-child(3)", spans: "tbody tr", goroutines: "tbody tr",
  gc: "table.plain tr", memstats: "tbody tr:nth-child(9)", compare: ".verdict:has-text('RSS'), .verdict:has-text('Nothing')", top: ".profile-view tbody tr", graph: "svg.graph .node", peek: ".peek-self", source: ".profile-view tbody tr",
};
const where = (args, name) => name === "processes" ? "processes" : name === "compare" ? `compare?a=pid/${args.pid}&b=pid/${args.other}`
  : ["top", "graph", "peek", "source"].includes(name) ? `pid/${args.pid}/profile?view=${name}` : `pid/${args.pid}/${name}`;
const ready = (page, name) => page.waitForSelector(READY[name]);
const text = (page, selector) => page.locator(selector).first().innerText();
const hashOf = (page) => page.evaluate(() => decodeURIComponent(location.hash));
const theme = (page) => page.evaluate(() => document.documentElement.dataset.theme);

async function axe(page, name) {
  await page.evaluate(axeSource);
  const found = await page.evaluate(async () => (await window.axe.run(document, { preload: false, resultTypes: ["violations"] })).violations
    .filter((v) => v.impact === "serious" || v.impact === "critical").map((v) => `${v.id}: ${v.help}: ${v.nodes.slice(0, 3).map((n) => `${n.target.join(" ")} ${n.any[0]?.message ?? ""}`).join(" | ")}`));
  ensure(found.length === 0, `axe on ${name}, ${await theme(page)}: ${found.join("\n")}`);
}

async function noSideways(page, name) {
  const wide = await page.evaluate(() => {
    const most = document.documentElement.clientWidth;
    if (document.documentElement.scrollWidth <= most) return [];
    return [...document.querySelectorAll("body *")].filter((e) => e.getBoundingClientRect().right > most + 1).slice(-4).map((e) => `${e.tagName}.${String(e.className)}`);
  });
  ensure(wide.length === 0, `${name} is wider than ${page.viewportSize().width} px: ${wide.join(", ")}`);
}

const CHECKS = {
  /** One page as it is looked at: both themes, both sizes, for all eyes; pictures for a person. */
  async look(args) {
    const page = await open(args, where(args, args.page));
    await mkdir(args.out, { recursive: true });
    await ready(page, args.page);
    for (const colour of ["light", "dark"]) {
      await page.evaluate((t) => { if (document.documentElement.dataset.theme !== t) document.getElementById("theme").click(); }, colour);
      await axe(page, args.page);
      for (const [size, width, height] of [["wide", 1280, 900], ["phone", 360, 740]]) {
        await page.setViewportSize({ width, height });
        await page.waitForFunction((w) => innerWidth === w, width);
        await page.evaluate(() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done))));
        await noSideways(page, args.page);
        await page.screenshot({ path: `${args.out}/${args.page}-${size}-${colour}.png` });
      }
      await page.setViewportSize({ width: 1280, height: 800 });
    }
    await close(page);
  },

  async processes(args) {
    const page = await open(args, "processes");
    const row = page.locator("tbody tr").filter({ has: page.locator(`td:text-is("${args.pid}")`) });
    await row.waitFor();
    await row.locator("td:nth-child(7)").filter({ hasText: /\w{4}/ }).waitFor({ timeout: 150000 }); // its first cause; the machine's other processes have their turn, too
    await row.locator("button.link").click();
    await ready(page, "ledger");
    ensure((await hashOf(page)).includes(`pid/${args.pid}/ledger`), "a process that is chosen is shown");
    await page.goBack();
    await row.waitFor();
    await close(page);
  },

  /** The answer is on the first screen: how large, why, what to do. */
  async ledger(args) {
    const page = await open(args, `pid/${args.pid}/ledger`);
    await ready(page, "ledger");
    ensure((await text(page, "#verdict")).length > 40, "the verdict is a sentence");
    const seen = await page.evaluate(() => [...document.querySelectorAll(".figure, #verdict, .cause .cause-do, .wf-row")].filter((e) => e.getBoundingClientRect().bottom <= innerHeight).length);
    ensure(seen >= 7, `the first screen shows ${seen} parts of the answer`);
    const row = page.locator('[data-key="wf:slots"]');
    await row.click();
    await page.locator(".detail h2").waitFor();
    await page.locator(".detail table tbody tr, .detail svg").first().waitFor();
    ensure((await hashOf(page)).includes("row=slots"), "the address names the line");
    ensure(await row.getAttribute("aria-expanded") === "true", "the line is said to be open");
    await page.reload();
    await page.locator(".detail h2").waitFor(); // the address is enough to come back
    await page.locator('[data-key="wf:stacks"]').focus();
    await page.keyboard.press("Enter");
    await page.locator(".detail h2").filter({ hasText: /stack/i }).waitFor();
    ensure(await page.evaluate(() => document.activeElement?.dataset.key) === "wf:stacks", "the focus stays where it was");
    await page.locator(".cause summary").first().click();
    ensure((await text(page, ".cause-more")).length > 20, "a cause has its evidence");
    await close(page);
  },

  async map(args) {
    const page = await open(args, `pid/${args.pid}/map`);
    await ready(page, "map");
    const canvas = page.locator("canvas.map"), scale = async () => Number(await canvas.getAttribute("data-scale"));
    const box = await canvas.boundingBox(), mid = { x: box.x + box.width / 2, y: box.y + box.height / 3 };
    const first = await scale();
    await page.mouse.move(mid.x, mid.y);
    await page.mouse.wheel(0, -600);
    await page.waitForFunction((x) => Number(document.querySelector("canvas.map").dataset.scale) > x, first);
    await page.locator("#zoom-in").click();
    const zoomed = await scale();
    const picture = () => canvas.evaluate((c) => c.toDataURL().length + c.toDataURL().slice(-2000));
    const before = await picture();
    await page.mouse.move(mid.x, mid.y);
    await page.mouse.down();
    await page.mouse.move(mid.x + 120, mid.y + 60, { steps: 4 });
    await page.mouse.up();
    ensure(await picture() !== before, "dragging moves the map");
    ensure(await scale() === zoomed, "dragging does not zoom");
    await page.locator("#zoom-all").click();
    ensure(Math.abs(await scale() - first) < 0.01, "Show all shows all");
    // hover: find a page of the heap and see what is said of it
    await page.selectOption("#mode", "used");
    await page.locator(".legend").filter({ hasText: "% of the page is in use" }).waitFor();
    await page.selectOption("#mode", "line");
    let said = "";
    for (let i = 0; i < 40 && !/slots used/.test(said); i++) {
      await page.mouse.move(box.x + box.width * (0.06 + 0.022 * i), box.y + box.height * (0.1 + 0.02 * i));
      await page.waitForTimeout(250);
      said = await text(page, "#map-tip");
    }
    ensure(/0x[0-9a-f]+/.test(said) && /slots used/.test(said), `hover says span and slots: ${said}`);
    // the same by keyboard
    await canvas.focus();
    await page.keyboard.press("ArrowRight");
    await page.keyboard.press("+");
    ensure(await scale() > first, "plus zooms");
    await page.keyboard.press("0");
    await page.locator(".legend button:not([disabled])").first().click();
    ensure(await page.locator('.legend [aria-pressed="true"]').count() === 1, "a colour can be picked");
    await close(page);
  },

  async flame(args) {
    const page = await open(args, `pid/${args.pid}/profile`);
    await ready(page, "profile");
    const boxes = page.locator(".flame .box"), all = await boxes.count();
    const box = boxes.nth(2), name = await box.getAttribute("data-name");
    ensure((await box.getAttribute("title")).includes(name), "hover says the whole name");
    await box.click();
    await page.waitForFunction((n) => [...document.querySelectorAll(".flame .box:not(.above)")][0]?.dataset.name === n, name);
    ensure((await hashOf(page)).includes("p="), "the frame is in the address");
    await page.reload();
    await page.waitForFunction((n) => [...document.querySelectorAll(".flame .box:not(.above)")][0]?.dataset.name === n, name);
    await boxes.first().click();
    await page.waitForFunction((n) => document.querySelectorAll(".flame .box").length >= n, all);
    const word = name.slice(name.lastIndexOf("/") + 1);
    await page.keyboard.press("Escape");
    await page.locator("#search").fill(word.replace(/[^\w]/g, "."));
    ensure(await page.locator(".box.found").count() > 0, "search marks what it finds");
    await page.locator("#search").fill("");
    await page.locator("#c-f").fill("no_such_function_anywhere");
    await page.locator("#c-f").press("Enter");
    await page.locator(".verdict").filter({ hasText: /0 %|0 B/ }).first().waitFor();
    await page.locator("#c-f").fill("(");
    await page.locator("#c-f").press("Enter");
    await page.locator(".profile-view .error").waitFor();
    await page.locator("#c-f").fill("");
    await page.locator("#c-f").press("Enter");
    await ready(page, "profile");
    // right-click, by mouse and by keyboard
    await boxes.nth(2).click({ button: "right" });
    await page.locator(".menu:not([hidden]) button").first().waitFor();
    await page.keyboard.press("Escape");
    ensure(await page.locator(".menu").isHidden(), "Escape closes the menu");
    await boxes.nth(2).click({ button: "right" });
    await page.locator(".menu button", { hasText: "Peek" }).click();
    await ready(page, "peek");
    for (const view of ["Top", "Graph", "Source", "Flame graph"]) {
      await page.getByRole("tab", { name: view, exact: true }).click();
      await page.locator(".profile-view table, .profile-view svg, .flame, .profile-view .source").first().waitFor();
    }
    await close(page);
  },

  /** A base that was kept, and what changed since: of a program that allocates. The address names both. */
  async diff(args) {
    const page = await open(args, `pid/${args.other}/profile?kind=allocs`);
    for (let i = 0; i < 20 && await page.locator(READY.profile).count() === 0; i++) { // the program's first GC cycles publish it
      await page.waitForTimeout(1000);
      await page.locator("#reload").click();
    }
    await ready(page, "profile");
    await page.locator("#save-base").click();
    const id = await page.locator("#base option").nth(1).getAttribute("value", { timeout: WAIT });
    await page.waitForTimeout(2000);
    await page.locator("#reload").click();
    await page.selectOption("#base", id);
    await page.locator(".verdict").filter({ hasText: /in the base: [+−]/ }).first().waitFor();
    ensure((await hashOf(page)).includes(`base=${id}`), "the base is in the address");
    await page.reload();
    await page.locator(".verdict").filter({ hasText: /in the base: [+−]/ }).first().waitFor();
    await page.getByRole("tab", { name: "Top", exact: true }).click();
    await page.locator("th", { hasText: "flat moved" }).waitFor();
    await close(page);
  },

  /** A profile that is chosen, and one that is dropped: shown as a process' is, filtered by pprof's own engine. */
  async upload(args) {
    const page = await open(args, "processes");
    await page.locator("#profile-file").setInputFiles({ name: "<img src=x onerror=window.pwned=1>.pb.gz", mimeType: "application/octet-stream", buffer: readFileSync(args.profile) });
    await ready(page, "profile");
    ensure((await hashOf(page)).startsWith("#/profile/"), "the profile has an address");
    ensure((await text(page, ".who")).includes("<img"), "its name is text");
    ensure(await page.evaluate(() => window.pwned) === undefined, "its name became markup");
    // a pattern that JavaScript lacks and RE2 has
    await page.locator("#c-f").fill("(?i)MAIN\\.");
    await page.locator("#c-f").press("Enter");
    await page.locator(".verdict").filter({ hasText: /% ?\) match/ }).first().waitFor();
    await page.locator("#c-tf").fill("100kb:");
    await page.locator("#c-tf").press("Enter");
    await page.waitForFunction(() => location.hash.includes("tf="));
    for (const view of ["Top", "Graph", "Peek", "Source"]) {
      await page.getByRole("tab", { name: view, exact: true }).click();
      await page.locator(".profile-view table, .profile-view svg, .peek-view").first().waitFor();
    }
    await page.locator("nav [data-key='nav:processes']").click();
    await page.locator(".profiles a").first().waitFor();
    const drop = await page.evaluateHandle((bytes) => {
      const d = new DataTransfer();
      d.items.add(new File([new Uint8Array(bytes)], "dropped.pb.gz"));
      return d;
    }, [...readFileSync(args.profile)]);
    await page.dispatchEvent("main", "drop", { dataTransfer: drop });
    await page.locator(".who").filter({ hasText: "dropped.pb.gz" }).waitFor();
    await ready(page, "profile");
    await close(page);
  },

  /** The text of a function, from this machine's disk. */
  async source(args) {
    const page = await open(args, `pid/${args.hostile}/profile?view=source&peek=main.fill`);
    await page.locator("td.code").filter({ hasText: "kept = append(kept, make([]byte" }).first().waitFor();
    ensure(await page.locator("tr.hot").count() > 0, "lines with memory stand out");
    await close(page);
  },

  /** A server that was started with one target begins with it. */
  async start(args) {
    const page = await open(args, `${args.url}/`);
    await page.locator(".who strong").waitFor();
    await ready(page, args.first);
    await close(page);
  },

  async tables(args) {
    const page = await open(args, `pid/${args.pid}/spans`);
    for (const name of ["spans", "goroutines", "gc", "memstats"]) {
      await page.locator(`nav [data-key="nav:${name}"]`).click();
      await ready(page, name);
      await page.locator("thead .sort").nth(1).click();
      await page.locator("th[aria-sort]").first().waitFor();
      ensure(await page.evaluate(() => document.activeElement?.className) === "sort", `${name}: the heading keeps the focus`);
    }
    await page.locator("#filter").fill("HeapReleased");
    await page.waitForFunction(() => document.querySelectorAll("tbody")[0].rows.length <= 3);
    await page.locator("summary", { hasText: "Download" }).click();
    const [file] = await Promise.all([page.waitForEvent("download"), page.locator(".dropdown-list button", { hasText: "MemStats (CSV)" }).click()]);
    const csv = readFileSync(await file.path(), "utf8");
    ensure(/^field,now/.test(csv) && /^HeapReleased,\d+,/m.test(csv), `the download is a table: ${csv.slice(0, 200)}`);
    await close(page);
  },

  async compare(args) {
    const page = await open(args, `compare?a=pid/${args.pid}&b=pid/${args.other}`);
    await ready(page, "compare");
    ensure(await page.locator("#a").inputValue() === `pid/${args.pid}`, "the address chooses A");
    ensure(await page.locator("tbody tr").count() > 3, "rows are compared");
    await close(page);
  },

  /** Answers follow by themselves; a pause keeps what is shown. */
  async live(args) {
    const page = await open(args, `pid/${args.pid}/ledger`);
    await ready(page, "ledger");
    const foot = page.locator(".foot").first(), state = page.locator(".state");
    const old = await foot.innerText();
    await page.waitForFunction((t) => document.querySelector(".foot").innerText !== t, old);
    await page.locator("#pause").click();
    await state.filter({ hasText: "paused" }).waitFor();
    const then = await foot.innerText();
    await page.waitForTimeout(2500);
    ensure(await foot.innerText() === then, "nothing moves while it is paused");
    await page.locator("main").focus();
    await page.keyboard.press("Space");
    await state.filter({ hasText: "live" }).waitFor();
    await page.waitForFunction((t) => document.querySelector(".foot").innerText !== t, then);
    await close(page);
  },

  async theme(args) {
    const page = await open(args, "processes", { colorScheme: "dark" });
    await ready(page, "processes");
    ensure(await theme(page) === "dark", "the system's theme is taken");
    await page.locator("#theme").click();
    ensure(await theme(page) === "light", "the button changes it");
    await page.reload();
    await ready(page, "processes");
    ensure(await theme(page) === "light", "it is remembered");
    await close(page);
  },

  async keyboard(args) {
    const page = await open(args, `pid/${args.pid}/ledger`);
    await ready(page, "ledger");
    await page.keyboard.press("Tab");
    ensure(await page.evaluate(() => document.activeElement.className) === "skip", "the first stop skips to the content");
    await page.keyboard.press("Enter");
    ensure((await hashOf(page)).includes(`pid/${args.pid}`), "skipping stays on the page");
    await page.evaluate(() => document.activeElement.blur());
    await page.keyboard.press("3");
    await ready(page, "profile");
    await page.keyboard.press("/");
    ensure(await page.evaluate(() => document.activeElement.id) === "search", "/ goes to the search");
    // a frame of the flame graph is a stop of its own, and Enter focuses it
    await page.locator(".flame .box").nth(2).focus();
    await page.keyboard.press("Enter");
    await page.waitForFunction(() => location.hash.includes("p="));
    // every stop can be seen
    const seen = await page.evaluate(() => getComputedStyle(document.activeElement).outlineStyle !== "none");
    ensure(seen, "the focus can be seen");
    await close(page);
  },

  /** Names that would be markup or codes for a terminal are text and nothing else. */
  async hostile(args) {
    const page = await open(args, "processes");
    await page.locator("tbody tr").filter({ has: page.locator(`td:text-is("${args.hostile}")`) }).waitFor();
    for (const name of ["processes", "ledger", "map", "goroutines", "profile", "source"]) {
      if (name !== "processes") {
        await page.evaluate((to) => { location.hash = to; }, `#/${where({ ...args, pid: args.hostile }, name)}${name === "profile" ? "?kind=goroutine" : ""}`);
        await ready(page, name);
      }
      const said = await page.evaluate(() => ({ pwned: window.pwned, title: document.title, tags: document.querySelectorAll("#app img, #app script, #app iframe, #app [onerror]").length, body: document.body.innerText }));
      ensure(said.pwned === undefined && said.tags === 0, `${name}: a name became markup`);
      // eslint-disable-next-line no-control-regex
      ensure(!/[\u0000-\u0008\u000b-\u001f\u202a-\u202e\u2066-\u2069]/.test(said.body + said.title), `${name}: control characters reach the page`);
      if (name === "processes" || name === "ledger") ensure(said.body.includes("<img"), `${name}: the name is shown as it is`);
    }
    await close(page);
  },

  /** `whyrss report`: one file, no server. */
  async report(args) {
    const page = await open(args, args.file);
    await ready(page, "ledger");
    for (const name of ["map", "profile", "spans", "goroutines", "memstats"]) {
      await page.locator(`nav [data-key="nav:${name}"]`).click();
      await ready(page, name);
      if (name === "goroutines") {
        const rows = await text(page, "tbody");
        await page.selectOption("#by", "state");
        await page.waitForFunction((t) => document.querySelector("tbody").innerText !== t, rows);
      }
      if (name === "profile") {
        await page.locator("#c-f").fill("fillCache");
        await page.locator("#c-f").press("Enter");
        await page.locator(".verdict").filter({ hasText: /match/ }).first().waitFor();
      }
    }
    await close(page);
  },

  async gone(args) {
    const page = await open(args, `pid/${args.pid}/ledger`);
    await page.locator(".error").waitFor();
    await page.context().close(); // its console has the 404
  },
};

for await (const line of createInterface({ input: process.stdin })) {
  const { check, ...args } = JSON.parse(line);
  let error = null;
  try {
    await CHECKS[check](args);
  } catch (e) {
    error = `${e.message}\n${(e.stack ?? "").split("\n").filter((x) => x.includes("page.mjs")).join("\n")}`;
    for (const c of browser.contexts()) await c.close();
  }
  process.stdout.write(`${JSON.stringify({ error })}\n`);
}
await browser.close();
