/** For pages that load the script `dist/pubsub.js`: declares the global variable `PubSub`, and its types under its name. */
import type * as Plugin from './index.cjs'

declare global {
  const PubSub: typeof Plugin

  // One by one, because TypeScript gives a variable the types of a module in no other way.
  namespace PubSub {
    type Settings = Plugin.Settings
    type Transport = Plugin.Transport
    type Signal = Plugin.Signal
    type ConnectionOptions = Plugin.ConnectionOptions
    type SubscribeOptions = Plugin.SubscribeOptions
    type CallbackOptions = Plugin.CallbackOptions
    type MessagesOptions = Plugin.MessagesOptions
    type RequestOptions = Plugin.RequestOptions
    type Params = Plugin.Params
    type Document = Plugin.Document
    type Write<Doc, Fields extends keyof Doc> = Plugin.Write<Doc, Fields>
    type Thng = Plugin.Thng
    type ThngUpdate = Plugin.ThngUpdate
    type NewThng = Plugin.NewThng
    type Product = Plugin.Product
    type ProductUpdate = Plugin.ProductUpdate
    type NewProduct = Plugin.NewProduct
    type Collection = Plugin.Collection
    type CollectionUpdate = Plugin.CollectionUpdate
    type NewCollection = Plugin.NewCollection
    type MembershipChange = Plugin.MembershipChange
    type PropertyValue<Value = unknown> = Plugin.PropertyValue<Value>
    type PropertyUpdate<Value = unknown, Key extends string = string> = Plugin.PropertyUpdate<Value, Key>
    type PropertyUpdateOf<Values> = Plugin.PropertyUpdateOf<Values>
    type PropertyWrite<Value = unknown> = Plugin.PropertyWrite<Value>
    type KeyedPropertyWrite = Plugin.KeyedPropertyWrite
    type LocationUpdate = Plugin.LocationUpdate
    type LocationWrite = Plugin.LocationWrite
    type Action = Plugin.Action
    type NewAction = Plugin.NewAction
    type ActionType = Plugin.ActionType
    type ActionTypeUpdate = Plugin.ActionTypeUpdate
    type NewActionType = Plugin.NewActionType
    type Batch = Plugin.Batch
    type BatchUpdate = Plugin.BatchUpdate
    type NewBatch = Plugin.NewBatch
    type Task = Plugin.Task
    type NewTask = Plugin.NewTask
    type MessageInfo = Plugin.MessageInfo
    type Subscription = Plugin.Subscription
    type Messages<Message> = Plugin.Messages<Message>
    type Watchable<Message> = Plugin.Watchable<Message>
    type Publishable<Payload = unknown> = Plugin.Publishable<Payload>
    type Resource<Message = PropertyUpdate[], Payload = unknown> = Plugin.Resource<Message, Payload>
    type Readable<Result> = Plugin.Readable<Result>
    type Page<Item> = Plugin.Page<Item>
    type AllOptions = Plugin.AllOptions
    type Pageable<Item> = Plugin.Pageable<Item>
    type ReadableList<Item> = Plugin.ReadableList<Item>
    type FilterFields = Plugin.FilterFields
    type FilterValue = Plugin.FilterValue
    type FilterOperator = Plugin.FilterOperator
    type FilterTerm = Plugin.FilterTerm
    type FilterTerms<List extends keyof FilterFields = keyof FilterFields> = Plugin.FilterTerms<List>
    type Creatable<New, Result> = Plugin.Creatable<New, Result>
    type Updatable<Update, Result> = Plugin.Updatable<Update, Result>
    type Deletable = Plugin.Deletable
    type List<Doc, New, Update> = Plugin.List<Doc, New, Update>
    type PropertyResource<Value = unknown> = Plugin.PropertyResource<Value>
    type PropertyPayload<Value> = Plugin.PropertyPayload<Value>
    type PropertiesResource<Values = Record<string, unknown>> = Plugin.PropertiesResource<Values>
    type PropertiesPayload<Values> = Plugin.PropertiesPayload<Values>
    type LocationResource = Plugin.LocationResource
    type ActionsResource<Message = Action> = Plugin.ActionsResource<Message>
    type ActionResource = Plugin.ActionResource
    type ActionTypesResource = Plugin.ActionTypesResource
    type ActionTypeResource = Plugin.ActionTypeResource
    type Subject = Plugin.Subject
    type Propertied = Plugin.Propertied
    type ThngResource = Plugin.ThngResource
    type ProductResource = Plugin.ProductResource
    type CollectionResource = Plugin.CollectionResource
    type MembersResource = Plugin.MembersResource
    type BatchResource = Plugin.BatchResource
    type TasksResource = Plugin.TasksResource
    type TaskResource = Plugin.TaskResource
    type ScopeOptions = Plugin.ScopeOptions
    type ScopeState = Plugin.ScopeState
    type Scope = Plugin.Scope
    type Operator = Plugin.Operator
    type Application = Plugin.Application
    type TrustedApplication = Plugin.TrustedApplication
    type User = Plugin.User
    type Device = Plugin.Device
    type AccessToken = Plugin.AccessToken
    type ErrorCode = Plugin.ErrorCode
    type PubSubError = Plugin.PubSubError
    type ConnectionEvent = Plugin.ConnectionEvent
    type Events = Plugin.Events
    type ModuleSource = Plugin.ModuleSource
  }
}

export {}
