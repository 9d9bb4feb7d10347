/** The client's methods, one an endpoint. Written by `python -m bentos.endpoints.derived_files`; do not edit. */

import type { components } from "./schemas.js";

type Schemas = components["schemas"];
export type RecommendRequest = Schemas["RecommendRequest"];
export type Recommendations = Schemas["Recommendations"];
export type IntentsRequest = Schemas["IntentsRequest"];
export type Intents = Schemas["Intents"];
export type RankRequest = Schemas["RankRequest"];
export type Scores = Schemas["Scores"];
export type EventsRequest = Schemas["EventsRequest"];
export type Accepted = Schemas["Accepted"];
export type ExplainRequest = Schemas["ExplainRequest"];
export type Explanation = Schemas["Explanation"];
export type DescribeRequest = Schemas["DescribeRequest"];
export type Descriptions = Schemas["Descriptions"];
export type ItemsRequest = Schemas["ItemsRequest"];
export type ItemsChanged = Schemas["ItemsChanged"];

/** A method for each endpoint; what is left out of a request takes its default. */
export abstract class Methods {
  /** Send a request to a path; `entries` names the list of a write, whose entries get ids. */
  protected abstract ask<Answer>(method: string, path: string, body: object, entries?: string): Promise<Answer>;

  /** Recommend items to a user. */
  recommend(ask: RecommendRequest): Promise<Recommendations> {
    return this.ask<Recommendations>("POST", "/recommend", ask);
  }

  /** Return every intent of a user. */
  intents(ask: IntentsRequest): Promise<Intents> {
    return this.ask<Intents>("POST", "/intents", ask);
  }

  /** Score given items for a user, in the order given. */
  rank(ask: RankRequest): Promise<Scores> {
    return this.ask<Scores>("POST", "/rank", ask);
  }

  /** Store events durably and fold them into their users' profiles. */
  events(ask: EventsRequest): Promise<Accepted> {
    return this.ask<Accepted>("POST", "/events", ask, "events");
  }

  /** Say what speaks for an item: its source and place, the features and the intents that it rests on. */
  explain(ask: ExplainRequest): Promise<Explanation> {
    return this.ask<Explanation>("POST", "/explain", ask);
  }

  /** Say in words what is known of items, and what speaks for them. */
  describe(ask: DescribeRequest): Promise<Descriptions> {
    return this.ask<Descriptions>("POST", "/describe", ask);
  }

  /** Add, change or withdraw items, all of them or none, or undo a version; every door shows it within 5 s. */
  items(ask: ItemsRequest = {}): Promise<ItemsChanged> {
    return this.ask<ItemsChanged>("PUT", "/items", ask);
  }
}
