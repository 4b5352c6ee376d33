/**
 * The plugin of evrythng.js alone: what `thng-pubsub` has, without scopes of its own.
 *
 * ```js
 * const evrythng = require('evrythng')
 * const PubSub = require('thng-pubsub/plugin')
 *
 * evrythng.use(PubSub)
 * ```
 */
import All = require('./index.cjs')

declare namespace PubSub {
  export import settings = All.settings
  export import setup = All.setup
  export import install = All.install
  export import init = All.init
  export import on = All.on
  export import off = All.off
  export import close = All.close
  export import PubSubError = All.PubSubError

  export import Settings = All.Settings
  export import Transport = All.Transport
  export import Signal = All.Signal
  export import ConnectionOptions = All.ConnectionOptions
  export import SubscribeOptions = All.SubscribeOptions
  export import CallbackOptions = All.CallbackOptions
  export import MessagesOptions = All.MessagesOptions
  export import PropertyValue = All.PropertyValue
  export import PropertyUpdate = All.PropertyUpdate
  export import MessageInfo = All.MessageInfo
  export import Subscription = All.Subscription
  export import Messages = All.Messages
  export import Watchable = All.Watchable
  export import Publishable = All.Publishable
  export import Resource = All.Resource
  export import ErrorCode = All.ErrorCode
  export import ConnectionEvent = All.ConnectionEvent
  export import Events = All.Events
  export import ModuleSource = All.ModuleSource
}

export = PubSub
