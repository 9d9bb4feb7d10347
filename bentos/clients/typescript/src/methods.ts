/** The client's methods, one an endpoint. Written by `python -m bentos.endpoints.derived_files`; do not edit. */

import type { components } from "./schemas.js";

type Schemas = components["schemas"];
export type RecommendRequest = Schemas["RecommendRequest"];
export type Recommendations = Schemas["Recommendations"];
export type IntentsRequest = Schemas["IntentsRequest"];
export type Intents = Schemas["Intents"];
export type RankRequest = Schemas["RankRequest"];
export type Scores = Schemas["Scores"];
export type SimilarRequest = Schemas["SimilarRequest"];
export type SimilarItems = Schemas["SimilarItems"];
export type ValuesRequest = Schemas["ValuesRequest"];
export type Values = Schemas["Values"];
export type EventsRequest = Schemas["EventsRequest"];
export type Accepted = Schemas["Accepted"];
export type ExplainRequest = Schemas["ExplainRequest"];
export type Explanation = Schemas["Explanation"];
export type DescribeRequest = Schemas["DescribeRequest"];
export type Descriptions = Schemas["Descriptions"];
export type ShelvesRequest = Schemas["ShelvesRequest"];
export type Shelves = Schemas["Shelves"];
export type ItemsRequest = Schemas["ItemsRequest"];
export type ItemsChanged = Schemas["ItemsChanged"];
export type RulesRequest = Schemas["RulesRequest"];
export type RulesChanged = Schemas["RulesChanged"];

/** A method for each endpoint; what is left out of a request takes its default. */
export abstract class Methods {
  /** Send a request to a path; `entries` names the list of a write, whose entries get ids. */
  protected abstract ask<Answer>(method: string, path: string, body: object, entries?: string): Promise<Answer>;

  /** Recommend items to a user, or in a session of somebody who is none. */
  recommend(ask: RecommendRequest = {}): Promise<Recommendations> {
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

  /** List items like an item. */
  similar(ask: SimilarRequest): Promise<SimilarItems> {
    return this.ask<SimilarItems>("POST", "/similar", ask);
  }

  /** Recommend values of an attribute to a user. */
  values(ask: ValuesRequest): Promise<Values> {
    return this.ask<Values>("POST", "/values", ask);
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

  /** Put items for a user on shelves, each with a title. */
  shelves(ask: ShelvesRequest): Promise<Shelves> {
    return this.ask<Shelves>("POST", "/shelves", ask);
  }

  /** Add, change or withdraw items, all of them or none, or undo a version; every door shows it within 5 s. */
  items(ask: ItemsRequest = {}): Promise<ItemsChanged> {
    return this.ask<ItemsChanged>("PUT", "/items", ask);
  }

  /** Put or remove rules, all of them or none, or undo a version; every door keeps to it within 5 s. */
  rules(ask: RulesRequest = {}): Promise<RulesChanged> {
    return this.ask<RulesChanged>("PUT", "/rules", ask);
  }
}
