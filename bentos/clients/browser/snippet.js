/* A page's events, with consent: docs/clients.md */
window.intentflow = ({ url, key, user, consent, ask, batch = 20, every = 2000, tell = console.warn }) => {
	const name = "intentflow", to = url + "/events" + (key ? "?key=" + key : "");
	const off = navigator.globalPrivacyControl || navigator.doNotTrack == 1;
	const told = {}, say = (line) => told[line] ||= !tell(name + ": " + line);
	let queue = [], failed = 0, timer, sending, visitor, allowed;

	const safe = (act) => { try { return act() } catch {} };
	const kept = () => safe(() => JSON.parse(localStorage[name])) || {};
	const keep = (events) => safe(() => localStorage[name] = JSON.stringify({ visitor, events }));

	const body = (some) => JSON.stringify({ events: some.map(([event, at]) =>
		Date.now() - at > 6e4 ? { ...event, timestamp: new Date(at) } : event) });

	const post = async () => {
		while (queue[0]) {
			const some = queue.slice(0, batch);
			let again = 1, wait, why = "no answer, or no key for " + origin;
			try {
				const reply = await fetch(to, { method: "POST", body: body(some), keepalive: true });
				again = reply.status == 429 || reply.status > 499;
				wait = reply.headers.get("Retry-After") * 1e3;
				why = !reply.ok && ((await reply.json().catch(() => 0)).error || reply.status);
			} catch {}
			if (why) say(why + (again ? "; tries again" : "; these are lost"));
			if (again) return later(wait || Math.min(every * 2 ** ++failed, 6e4));
			failed = 0;
			queue = queue.filter((one) => !some.includes(one));
		}
	};
	const send = () => (clearTimeout(timer), timer = 0, sending ||= post().finally(() => sending = 0));
	const later = (pause) => timer ||= setTimeout(send, pause);

	const set = (yes) => {
		document.getElementById(name)?.remove();
		allowed = yes && !off;
		if (!allowed) return queue = [], safe(() => delete localStorage[name]);
		const was = kept();
		visitor = was.visitor || crypto.randomUUID();
		queue.push(...was.events || []);
		keep();
		send();
	};
	const make = (tag, more) => Object.assign(document.createElement(tag), more);
	const show = ([text, ...answers]) => {
		const box = make("dialog", { id: name, ariaLabel: text, open: true, style: "position:fixed;bottom:0" });
		box.append(text, ...answers.map((textContent, no) => make("button", { textContent, onclick: () => set(!no) })));
		document.body.append(box);
	};

	addEventListener("visibilitychange", () => {
		if (!document.hidden || !allowed) return;
		while (queue[0] && navigator.onLine && !failed && navigator.sendBeacon(to, body(queue.slice(0, batch)))) queue.splice(0, batch);
		keep(queue);
	});
	if (off || consent != null) set(consent);
	else if (kept().visitor) set(true);
	else if (ask) show(ask);

	return { consent: set, send, track(event, item_id, more) {
		if (!allowed) return say(event + " is not sent: " + (off ? "the browser asks not to track" : "no consent yet"));
		queue.push([{ user_id: user || visitor, item_id, event, event_id: crypto.randomUUID(), ...more }, Date.now()]);
		if (queue[500]) queue.shift();
		queue[batch - 1] ? send() : later(every);
	} };
};
