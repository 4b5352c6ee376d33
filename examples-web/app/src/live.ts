/** The thng as the app sees it: what it subscribes to and publishes, over one transport of the SDK. */
import { type ActionsResource, type LocationResource, Operator, type PropertyResource, type Transport } from 'thng-pubsub'

export interface LiveThng {
  readonly id: string
  readonly transport: Transport
  /** How it is published: to be acknowledged, where the transport has acknowledgements. */
  readonly qos: 0 | 1
  /** Numbers, as far as this app writes them; other clients may write anything. */
  readonly temperature: PropertyResource
  readonly location: LocationResource
  readonly actions: ActionsResource
}

/** Opens a thng, or makes a new one. Its server is the one that this page was loaded from. */
export async function openThng(key: string, id: string | undefined, transport: Transport): Promise<LiveThng> {
  const operator = new Operator(key, { transport })
  // Asked for by REST first, which says why it refuses: of a WebSocket that is refused, a browser tells nothing.
  const known = (await (id ? operator.thng(id).read() : operator.thng().create({ name: 'Dashboard example' }))).id
  const thng = operator.thng(known)
  return {
    id: known,
    transport,
    qos: transport === 'mqtt' ? 1 : 0,
    temperature: thng.property('temperature'),
    location: thng.location(),
    actions: thng.action('all')
  }
}
