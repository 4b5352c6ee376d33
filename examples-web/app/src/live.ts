/** The thng as the app sees it: what it subscribes to and publishes, over one connection of the SDK. */
import { type ActionsResource, type LocationResource, Operator, type PropertyResource } from 'thng-pubsub'

export interface LiveThng {
  readonly id: string
  /** Numbers, as far as this app writes them; somebody else may write anything. */
  readonly temperature: PropertyResource
  readonly location: LocationResource
  readonly actions: ActionsResource
}

/** Opens a thng, or makes a new one. Its server is the one that this page was loaded from. */
export async function openThng(key: string, id: string | undefined): Promise<LiveThng> {
  const operator = new Operator(key)
  const known = id ?? (await operator.thng().create({ name: 'Dashboard example' })).id
  const thng = operator.thng(known)
  return {
    id: known,
    temperature: thng.property('temperature'),
    location: thng.location(),
    actions: thng.action('all')
  }
}
